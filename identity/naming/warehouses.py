"""The naming rules of warehouses, catalogs and wide-column stores. Data only: see systems.py."""

from typing import Final

from identity.naming.systems import Fold, Level, Limit, Parameter, System

_TWO: Final = "{schema}.{table}"
_THREE: Final = "{source}.{schema}.{table}"

_NO_CASE: Final[tuple[tuple[Level, Fold], ...]] = (("schema", Fold.LOWER), ("table", Fold.LOWER))

WAREHOUSES: Final = (
    System(
        name="snowflake",
        levels=("database", "schema", "table"),
        default_schema="PUBLIC",
        hosts=((".snowflakecomputing.com", ""),),  # as JDBC writes it; others leave it out
        port=443,
        hyphens=True,  # Snowflake, Account identifiers: a host name has a hyphen for each underscore
        parameters=(Parameter("account", "host"), Parameter("region", "region")),
        fold=Fold.UPPER,
        quotes=('""',),
        bare="_$",
        namespace="snowflake://{host}",
        dataset=_THREE,
        documented="Snowflake, Identifier requirements: unquoted ones are stored and resolved as upper case",
        limit=Limit(
            longest=255, of="characters", documented="Snowflake, Identifier requirements: at most 255 characters"
        ),
    ),
    System(
        name="bigquery",
        levels=("project", "dataset", "table"),
        columns=Fold.CASELESS,  # GoogleSQL, Case sensitivity
        quotes=("``",),
        backslash=True,
        dots_in_quotes=True,
        bare="_-",
        bare_unicode=True,
        everywhere=True,
        alone=True,
        domains=True,
        namespace="bigquery",
        dataset=_THREE,
        documented="GoogleSQL, Lexical structure: datasets and tables are case-sensitive unless is_case_insensitive",
        limit=Limit(longest=1024, of="bytes", documented="BigQuery, Name tables: up to 1,024 bytes of UTF-8"),
    ),
    System(
        name="databricks",
        also=("unity", "unitycatalog"),
        levels=("catalog", "schema", "table"),
        default_schema="default",
        port=443,
        fold=Fold.LOWER,
        columns=Fold.CASELESS,  # Databricks, Names: Unity Catalog preserves column name casing
        folds_quoted=True,
        folds_ascii_only=False,
        quotes=("``",),
        namespace="databricks://{host}",  # not on OpenLineage's page: as its dbt integration writes it
        dataset=_THREE,
        documented="Databricks, Names: Unity Catalog stores all object names as lower case",
        limit=Limit(longest=255, of="characters", documented="Databricks, Names: object names may have 255 characters"),
        one_case=(("source", Fold.LOWER), *_NO_CASE),
    ),
    System(
        name="hive",
        also=("hive2",),
        levels=(None, "database", "table"),
        default_schema="default",
        port=10000,
        parameters=(Parameter("servicediscoverymode", "elsewhere"),),  # ZooKeeper says which server it is
        fold=Fold.LOWER,
        folds_quoted=True,
        folds_ascii_only=False,
        quotes=("``",),
        namespace="hive://{server}",
        dataset=_TWO,
        documented="Apache Hive, LanguageManual DDL: table names are case insensitive; the metastore keeps lower case",
        one_case=_NO_CASE,
    ),
    System(
        name="glue",
        levels=(None, "database", "table"),
        default_schema="default",
        fold=Fold.LOWER,
        folds_quoted=True,
        folds_ascii_only=False,
        quotes=("``", '""'),
        bare="_-",
        namespace="arn:aws:glue:{host}",
        dataset="table/{schema}/{table}",
        documented="AWS Glue API, Catalog: names are folded to lower case when they are stored",
        limit=Limit(longest=255, of="bytes", documented="AWS Glue API, Catalog: names of 1 to 255 bytes"),
        one_case=_NO_CASE,
    ),
    System(
        name="athena",
        scheme="awsathena",
        also=("awsathena",),
        levels=("catalog", "database", "table"),
        default_source="AwsDataCatalog",
        port=443,
        hosts=((".amazonaws.com.cn", ".amazonaws.com"),),
        parameters=tuple(Parameter(name, "default", "athena.{}.amazonaws.com") for name in ("region", "awsregion")),
        default_schema="default",
        fold=Fold.LOWER,
        folds_quoted=True,
        folds_ascii_only=False,
        folded=("schema", "table"),
        quotes=('""', "``"),
        namespace="awsathena://{host}",
        dataset=_THREE,
        documented="Amazon Athena, Name databases, tables, and columns: queries run with lower-case names",
        one_case=_NO_CASE,
    ),
    System(
        name="trino",
        levels=("catalog", "schema", "table"),
        port=8080,
        fold=Fold.LOWER,
        folds_quoted=True,
        folds_ascii_only=False,
        quotes=('""',),
        namespace="trino://{server}",
        dataset=_THREE,
        documented="Trino, Keywords and identifiers: identifiers are not treated as case sensitive, quoted or not",
        one_case=(("source", Fold.LOWER), *_NO_CASE),
    ),
    System(
        name="clickhouse",
        also=("clickhousedb", "ch"),
        levels=(None, "database", "table"),
        default_schema="default",
        quotes=("``", '""'),  # no default port: 8123 is HTTP's, 9000 is the native one
        backslash=True,
        namespace="clickhouse://{server}",  # not on OpenLineage's page: as its dbt integration writes it
        dataset=_TWO,
        documented="ClickHouse, Syntax, Identifiers: case-sensitive throughout",
    ),
    System(
        name="cassandra",
        levels=(None, "keyspace", "table"),
        port=9042,
        fold=Fold.LOWER,
        quotes=('""',),
        namespace="cassandra://{server}",
        dataset=_TWO,
        documented="CQL, Identifiers and keywords: lower case unless in double quotes",
    ),
    System(
        name="crate",
        also=("cratedb",),
        levels=("database", "schema", "table"),
        default_schema="doc",
        fold=Fold.LOWER,  # no default port: 4200 is HTTP's, 5432 is the wire protocol of PostgreSQL
        quotes=('""',),
        namespace="crate://{server}",
        dataset=_THREE,
        documented="CrateDB, Key words and identifiers: lower case unless in double quotes",
    ),
    System(
        name="kusto",
        scheme="azurekusto",
        also=("azurekusto", "azuredataexplorer"),
        levels=(None, "database", "table"),
        quotes=(),
        namespace="azurekusto://{host}",
        dataset="{schema}/{table}",
        one_case=(("schema", Fold.LOWER),),
        documented="Kusto, Entity names: identifiers are case-sensitive, with the exception of database names",
        limit=Limit(longest=1024, of="characters", documented="Kusto, Entity names: between 1 and 1024 characters"),
    ),
    System(
        name="cosmosdb",
        scheme="azurecosmos",
        also=("azurecosmos",),
        levels=(None, "database", "container"),
        bare="_-",
        bare_unicode=True,
        namespace="azurecosmos://{host}/dbs/{schema}",
        dataset="colls/{table}",
        documented="Azure Cosmos DB, Resource model: ids are case-sensitive",
        limit=Limit(longest=255, of="characters", documented="Azure Cosmos DB service quotas: 255 characters"),
    ),
    System(
        name="spanner",
        levels=("database", "schema", "table"),
        may_lack=frozenset({"schema"}),  # the default one of GoogleSQL has no name
        fold=Fold.CONFIGURED,
        quotes=("``", '""'),
        namespace="spanner://{host}",  # its host is ours: <instance>.<project>, written <project>:<instance> there
        dataset=_THREE,
        documented="Spanner, Lexical structure: the dialect of the database decides",
        limit=Limit(longest=128, of="characters", documented="Spanner, Quotas and limits: 1 to 128 characters"),
    ),
)
