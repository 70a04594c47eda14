"""The naming rules of relational databases. Data only; what the fields mean is in systems.py."""

from typing import Final

from identity.naming.systems import Fold, Limit, Parameter, System

_TWO: Final = "{schema}.{table}"
_THREE: Final = "{source}.{schema}.{table}"

# Microsoft JDBC Driver, Building the connection URL and Setting the connection properties.
_MICROSOFT: Final = (
    Parameter("servername", "host"),
    Parameter("server", "host"),
    Parameter("instancename", "instance"),
    Parameter("portnumber", "port"),
    Parameter("port", "port"),
)

RELATIONAL: Final = (
    System(
        name="postgresql",
        also=("postgres",),
        levels=("database", "schema", "table"),
        default_schema="public",
        port=5432,
        local=True,
        fold=Fold.LOWER,
        quotes=('""',),
        bare="_$",
        bare_unicode=True,
        namespace="postgres://{server}",
        dataset=_THREE,
        documented="PostgreSQL manual, 4.1.1 Identifiers and Key Words; downcase_identifier() leaves UTF-8 as it is",
        limit=Limit(
            longest=63,
            of="bytes",
            cuts=True,
            documented="PostgreSQL manual, 4.1.1: NAMEDATALEN-1 bytes, longer names are truncated",
        ),
    ),
    System(
        name="redshift",
        levels=("database", "schema", "table"),
        default_schema="public",
        port=5439,
        fold=Fold.LOWER,
        folds_quoted=True,  # unless enable_case_sensitive_identifier is on
        quotes=('""',),
        bare="_$",
        bare_unicode=True,
        namespace="redshift://{server}",
        dataset=_THREE,
        documented="Amazon Redshift, Names and identifiers: standard and delimited ones are folded to lower case",
        limit=Limit(
            longest=127,
            of="bytes",
            cuts=True,
            documented="Amazon Redshift, CREATE TABLE: longer names are truncated to 127 bytes",
        ),
    ),
    System(
        name="mysql",
        levels=(None, "database", "table"),
        port=3306,
        local=True,
        fold=Fold.CONFIGURED,
        columns=Fold.CASELESS,  # on any platform; lower_case_table_names is for databases and tables
        quotes=("``",),
        bare="_$",
        bare_unicode=True,
        namespace="mysql://{server}",
        dataset=_TWO,
        documented="MySQL manual, 11.2.3 Identifier Case Sensitivity: lower_case_table_names decides",
        limit=Limit(longest=64, of="characters", documented="MySQL manual, 11.2.1 Identifier Length Limits"),
    ),
    System(
        name="mariadb",
        levels=(None, "database", "table"),
        port=3306,
        local=True,
        fold=Fold.CONFIGURED,
        columns=Fold.CASELESS,  # on any platform; lower_case_table_names is for databases and tables
        quotes=("``",),
        bare="_$",
        bare_unicode=True,
        namespace="mariadb://{server}",  # not on OpenLineage's page: as MySQL, under the name of its own URLs
        dataset=_TWO,
        documented="MariaDB, Identifier Case-sensitivity: lower_case_table_names decides",
        limit=Limit(longest=64, of="characters", documented="MariaDB, Identifier Names: Maximum Length"),
    ),
    System(
        name="oceanbase",
        levels=(None, "database", "table"),
        fold=Fold.CONFIGURED,  # no default port: 2881 is the server's, 2883 its proxy's
        columns=Fold.CASELESS,  # on any platform; lower_case_table_names is for databases and tables
        quotes=("``",),
        bare="_$",
        bare_unicode=True,
        namespace="oceanbase://{server}",
        dataset=_TWO,
        documented="OceanBase, MySQL mode: lower_case_table_names of the tenant",
    ),
    System(
        name="mssql",
        also=("sqlserver",),
        levels=("database", "schema", "table"),
        default_schema="dbo",
        port=1433,
        parameters=_MICROSOFT,
        fold=Fold.CONFIGURED,
        quotes=("[]", '""'),
        bare="_$#@",
        bare_unicode=True,
        namespace="mssql://{server}",
        dataset=_THREE,
        documented="SQL Server, Database identifiers and Collation: the collation of the database decides",
        limit=Limit(
            longest=128, of="characters", documented="SQL Server, Database identifiers: 1 through 128 characters"
        ),
    ),
    System(
        name="synapse",
        scheme="mssql",
        levels=("database", "schema", "table"),
        may_lack=frozenset({"source"}),  # OpenLineage's name of it has none
        default_schema="dbo",
        port=1433,
        parameters=_MICROSOFT,
        fold=Fold.CONFIGURED,
        quotes=("[]", '""'),
        bare="_$#@",
        bare_unicode=True,
        namespace="sqlserver://{server}",
        dataset=_TWO,
        documented="Azure Synapse Analytics: as SQL Server, the collation of the database decides",
        limit=Limit(
            longest=128, of="characters", documented="SQL Server, Database identifiers: 1 through 128 characters"
        ),
    ),
    System(
        name="oracle",
        levels=("service", "schema", "table"),
        port=1521,
        fold=Fold.UPPER,
        quotes=('""',),
        bare="_$#",
        namespace="oracle://{server}",
        dataset=_THREE,
        documented="Oracle SQL Language Reference, Database Object Naming Rules: non-quoted ones are upper case",
        limit=Limit(
            longest=128,
            of="bytes",
            levels=("schema", "table"),
            documented="Oracle SQL Language Reference, Database Object Naming Rules: 128 bytes since 12.2",
        ),
        one_case=(("source", Fold.UPPER),),  # the listener compares names of services and SIDs without case
    ),
    System(
        name="db2",
        also=("ibm_db_sa",),
        levels=("database", "schema", "table"),
        port=50000,
        fold=Fold.UPPER,
        quotes=('""',),
        bare="_$#@",
        namespace="db2://{server}",
        dataset=_THREE,
        documented="Db2 SQL reference, Identifiers: ordinary identifiers are folded to upper case",
        limit=Limit(
            longest=128, of="bytes", levels=("schema", "table"), documented="Db2 SQL reference, SQL and XML limits"
        ),
        one_case=(("source", Fold.LOWER),),  # the directory of databases has no case
    ),
    System(
        name="teradata",
        also=("teradatasql",),
        levels=(None, "database", "table"),
        port=1025,
        parameters=(Parameter("dbs_port", "port"),),
        between_parameters="/,",
        fold=Fold.CASELESS,
        quotes=('""',),
        bare="_$#",
        namespace="teradata://{server}",
        dataset=_TWO,
        documented="Teradata SQL Fundamentals, Object names: not case specific, the spelling is kept",
        limit=Limit(
            longest=128, of="characters", documented="Teradata SQL Fundamentals, Object names: 1 to 128 characters"
        ),
    ),
    System(
        name="sqlite",
        levels=("file", "schema", "table"),
        embedded=True,
        may_lack=frozenset({"source"}),
        default_schema="main",
        fold=Fold.CASELESS,
        quotes=('""', "``", "[]"),
        bare="_$",
        bare_unicode=True,
        documented="SQLite, Keywords and Database File Format: names compare without the case of ASCII letters",
    ),
    System(
        name="duckdb",
        levels=("catalog", "schema", "table"),
        embedded=True,
        may_lack=frozenset({"source"}),
        default_schema="main",
        fold=Fold.CASELESS,
        quotes=('""', "``"),  # backticks since 2.0
        bare="_$",
        bare_unicode=True,
        documented="DuckDB, Keywords and Identifiers: case-insensitive, quoted ones too; the spelling is kept",
    ),
)
