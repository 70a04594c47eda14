"""The naming rules of object stores, file systems, topics and assets. Data only: see systems.py."""

from typing import Final

from identity.naming.systems import Limit, Naming, System

FILES_AND_STREAMS: Final = (
    System(
        name="s3",
        also=("s3a", "s3n"),
        levels=(None, None, "object"),
        naming=Naming.VERBATIM,
        namespace="s3://{host}",
        dataset="{table}",
        documented="Amazon S3, Naming objects: a key is a sequence of characters, . and .. and // included",
        limit=Limit(longest=1024, of="bytes", documented="Amazon S3, Naming objects: a key has at most 1,024 bytes"),
    ),
    System(
        name="gcs",
        scheme="gs",
        also=("gs",),
        levels=(None, None, "object"),
        naming=Naming.VERBATIM,
        namespace="gs://{host}",
        dataset="{table}",
        documented="Cloud Storage, About objects: a flat namespace of case-sensitive names",
        limit=Limit(longest=1024, of="bytes", documented="Cloud Storage, About objects: 1 to 1024 bytes of UTF-8"),
    ),
    System(
        name="abfs",
        also=("abfss",),
        levels=("container", None, "path"),
        naming=Naming.POSIX,  # of a hierarchical namespace; the driver of Hadoop does so everywhere
        rooted=False,
        namespace="abfss://{source}@{host}",
        dataset="{table}",
        documented="Azure Data Lake Storage, URI syntax: abfs[s]://<container>@<account>/<path>",
    ),
    System(
        name="wasbs",
        also=("wasb",),
        levels=("container", None, "blob"),
        hosts=((".blob.core.windows.net", ".dfs.core.windows.net"),),  # one account; OpenLineage writes the second
        naming=Naming.VERBATIM,
        namespace="wasbs://{source}@{host}",
        dataset="{table}",
        documented="Azure Blob Storage, Naming containers, blobs, and metadata: blob names are case-sensitive",
        limit=Limit(
            longest=1024,
            of="characters",
            documented="Azure Blob Storage, Naming containers, blobs, and metadata: 1 to 1,024",
        ),
    ),
    System(
        name="dbfs",
        levels=(None, None, "path"),
        naming=Naming.POSIX,
        namespace="dbfs://{host}",
        dataset="{table}",
        documented="Databricks File System; paths as in Hadoop",
    ),
    System(
        name="hdfs",
        levels=(None, None, "path"),  # no default port: 8020 or 9000, by its version
        naming=Naming.POSIX,
        namespace="hdfs://{server}",
        dataset="{table}",
        documented="Hadoop FileSystem specification, Path: names of elements are compared exactly",
    ),
    System(
        name="file",
        levels=(None, None, "path"),
        hosts=(("localhost", "local"),),
        local=True,
        encoded=True,
        alone=True,
        naming=Naming.POSIX,
        namespace="file://{host}",
        dataset="{table}",
        documented="POSIX, 4.13 Pathname Resolution; RFC 8089 for its URLs",
    ),
    System(
        name="files",  # our own endpoints: datasets below a root, written by an I/O manager
        scheme="file",
        levels=(None, "schema", "table"),
        may_lack=frozenset({"schema"}),
        naming=Naming.VERBATIM,
        local=True,
        documented="docs/identity.md: a dataset of a project is called as its file calls it, byte for byte",
    ),
    System(
        name="kafka",
        levels=(None, None, "topic"),
        several_hosts=True,
        streams=True,
        port=9092,
        naming=Naming.VERBATIM,
        namespace="kafka://{server}",
        dataset="{table}",
        documented="Apache Kafka, Topic names: [a-zA-Z0-9._-], case-sensitive",
        limit=Limit(longest=249, of="characters", documented="Apache Kafka, Topic.MAX_NAME_LENGTH"),
    ),
    System(
        name="pubsub",
        levels=("project", "kind", "name"),
        domains=True,
        naming=Naming.VERBATIM,
        everywhere=True,
        streams=True,
        alone=True,
        namespace="pubsub",
        dataset="{schema}:{source}:{table}",
        documented="Pub/Sub, Resource names: projects/<project>/topics|subscriptions/<name>",
        limit=Limit(longest=255, of="characters", documented="Pub/Sub, Resource names: between 3 and 255 characters"),
    ),
    System(
        name="dagster",
        levels=(None, None, "asset key"),
        naming=Naming.ASSET_KEY,
        documented="Dagster, AssetKey.to_string(): a JSON list; joined by slashes, two keys could be one",
    ),
)
