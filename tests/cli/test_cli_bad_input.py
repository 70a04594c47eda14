"""Everything that can be wrong on the outside: one clear message with the way out, a code, and never a password."""

import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from cli_calls import Call, Run, program
from old_server import postgres_of_version
from sqlalchemy.engine import make_url

from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server

PASSWORD = "s3cr@t/w0rd%"
ENCODED = "s3cr%40t%2Fw0rd%25"
NOWHERE = f"postgresql://ann:{ENCODED}@127.0.0.1:1/metadata"
VARIABLES = ("METADATA_DATABASE_URL", "DAGSTER_POSTGRES_URL", "DATA_DATABASE_URL")
_roles = itertools.count()


@pytest.fixture
def make_login(server: Server) -> Callable[[str], str]:
    """A function that makes a login without rights and gives the URL with which it reaches a database."""

    def make(url: str) -> str:
        name = f"login_{next(_roles)}"
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP ROLE IF EXISTS {name}")
            connection.execute(f"CREATE ROLE {name} LOGIN")
        return make_url(url).set(username=name).render_as_string()

    return make


def no_password(text: str) -> bool:
    return PASSWORD not in text and ENCODED not in text and "s3cr" not in text


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("options", [(), ("--json",), ("--debug",)])
def test_an_unreachable_database_is_named_and_its_password_is_not(
    run: Run, elsewhere: dict[str, str], port: int, variable: str, options: tuple[str, ...]
) -> None:
    (Path(elsewhere["METADATA_PROJECT"]) / "metadata.yml").write_text("name: nothing\n")
    answer = run("dev", "--port", str(port), *options, **{variable: NOWHERE})
    assert answer.code == 4
    assert answer.out == ""
    assert "127.0.0.1:1" in answer.err
    assert variable in answer.err
    assert no_password(answer.err)
    assert ("Traceback" in answer.err) == (options == ("--debug",))


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_database_that_a_command_does_not_need_may_be_unreachable(run: Run, variable: str) -> None:
    assert run("datasets", **{variable: NOWHERE}).code == (4 if variable == "METADATA_DATABASE_URL" else 0)


def test_no_server_is_made_for_a_database_that_a_command_does_not_need(run: Run, environ: dict[str, str]) -> None:
    assert run("datasets", DAGSTER_POSTGRES_URL="", DATA_DATABASE_URL="").code == 0
    assert not Path(environ["METADATA_HOME"]).exists()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ann:{PASSWORD}@127.0.0.1:1/metadata",  # not encoded: libpq and SQLAlchemy each read it their way
        f"postgresql://127.0.0.1:1/metadata?user=ann&password={ENCODED}",
        f"mysql://ann:{ENCODED}@127.0.0.1:1/metadata",
        f"ann:{ENCODED}@127.0.0.1",
        f"postgresql://ann:{ENCODED}@[::1/metadata",
        f"host=127.0.0.1 port=1 password={ENCODED}",
    ],
)
@pytest.mark.parametrize(
    "command", [["datasets"], ["migrate"], ["doctor"], ["doctor", "--json"], ["datasets", "--debug"]]
)
def test_no_form_of_a_url_lets_its_password_out(
    call: Call, elsewhere: dict[str, str], url: str, command: list[str]
) -> None:
    answer = call({**elsewhere, "METADATA_DATABASE_URL": url}, *command)
    assert answer.code != 0
    assert no_password(answer.out + answer.err)


def test_the_program_keeps_passwords_to_itself_too(environ: dict[str, str]) -> None:
    answer = program("collect", "--debug", environ={**environ, **dict.fromkeys(VARIABLES, NOWHERE)})
    assert answer.code != 0
    assert no_password(answer.out + answer.err)


def test_a_database_that_is_too_old(call: Call, elsewhere: dict[str, str]) -> None:
    with postgres_of_version("14.9") as port:
        url = f"postgresql://ann@127.0.0.1:{port}/metadata"
        answer = call({**elsewhere, "METADATA_DATABASE_URL": url}, "datasets", "--json")
    assert answer.code == 4
    assert answer.error["error"] == "DatabaseTooOld"
    assert answer.error["message"] == "the metadata database is PostgreSQL 14; version 15 or newer is needed"


def test_a_schema_of_another_release_is_migrated_by_the_command_it_names(
    call: Call, elsewhere: dict[str, str], make_database: Callable[..., str]
) -> None:
    environ = {**elsewhere, "METADATA_DATABASE_URL": make_database()}
    refused = call(environ, "datasets")
    assert refused.code == 4
    assert refused.err.strip().endswith("run: metadata-assets migrate")
    first = call(environ, "migrate", "--json").json
    again = call(environ, "migrate", "--json").json
    assert first["before"] is None
    assert first["changed"]
    assert again == {**first, "before": first["after"], "changed": False}
    assert call(environ, "datasets").code == 0


def test_an_unknown_tenant_is_made_by_the_command_it_names(run: Run) -> None:
    refused = run("datasets", "--tenant", "sales")
    assert refused.code == 3
    assert "metadata-assets migrate makes one" in refused.err
    assert run("migrate", "--tenant", "sales").code == 0
    assert run("datasets", "--tenant", "sales", "--json").json == []
    assert run("datasets", "--tenant", "Not a slug!").code == 2


def test_a_login_without_rights(
    run: Run, metadata_url: str, make_database: Callable[..., str], make_login: Callable[[str], str]
) -> None:
    for command, url in (("datasets", metadata_url), ("migrate", make_database())):
        answer = run(command, METADATA_DATABASE_URL=make_login(url))
        assert answer.code == 4
        assert "permission denied" in answer.err
        assert len(answer.err.splitlines()) == 1


def test_a_login_that_may_not_act_as_the_app(
    run: Run, server: Server, metadata_url: str, make_login: Callable[[str], str]
) -> None:
    url = make_login(metadata_url)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"GRANT metadata_readonly TO {make_url(url).username}")
    answer = run("datasets", METADATA_DATABASE_URL=url)
    assert answer.code == 4
    assert "grant it the role metadata_app" in answer.err


def test_a_home_that_is_no_folder(call: Call, elsewhere: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "postgres").write_text("not ours")
    answer = call(elsewhere, "datasets")
    assert answer.code == 4
    assert "it was left alone" in answer.err
    assert (tmp_path / "home" / "postgres").read_text() == "not ours"


def test_a_home_below_a_file(call: Call, elsewhere: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    answer = call(elsewhere, "datasets")
    assert answer.code in (1, 4)
    assert str(tmp_path / "home") in answer.err
    assert "unexpected" not in answer.err


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("postgresql://ann:{}@h:port/x", 2, "its port is not a number"),
        ("postgresql://ann:{}@h1:1,h2:2/x", 2, "it names several hosts"),
        ("postgresql://ann:{}@127.0.0.1:1/x?bogus=1", 2, "correct the parameters in METADATA_DATABASE_URL"),
    ],
)
@pytest.mark.parametrize("command", ["datasets", "migrate"])
def test_a_url_that_no_driver_takes(
    call: Call, elsewhere: dict[str, str], url: str, code: int, told: str, command: str
) -> None:
    environ = {**elsewhere, "METADATA_DATABASE_URL": url.format(ENCODED)}
    answer = call(environ, command)
    assert answer.code == code
    assert told in answer.err
    assert len(answer.err.splitlines()) == 1
    assert no_password(answer.err)
    assert told in call(environ, "doctor").out


def test_a_schema_of_a_newer_release(run: Run, metadata_url: str) -> None:
    with psycopg.connect(metadata_url) as connection:
        connection.execute("UPDATE metadata.alembic_version SET version_num = '0099'")
        connection.execute("COMMENT ON SCHEMA metadata IS 'metadata-assets 0099 0123456789ab'")
    for command in ("migrate", "datasets"):
        answer = run(command)
        assert answer.code == 4
        assert "of a newer release" in answer.err
        assert "run: metadata-assets migrate" not in answer.err


@pytest.mark.parametrize("option", [["materializations", "a/b", "--partition"], ["versions"], ["--home"]])
def test_what_is_not_utf8(run: Run, option: list[str]) -> None:
    answer = run(*option, "\udcff")
    assert answer.code == 2
    assert f"argument {len(option) + 1} is not UTF-8" in answer.err
    assert json.loads(run(*option, "\udcff", "--json").err)["error"] == "UsageRefused"


@pytest.mark.parametrize("arguments", [["datasets"], ["datasets", "--json"], ["--help"]])
def test_a_disk_that_is_full(environ: dict[str, str], arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "metadata_assets.cli", *arguments],
            env={"PATH": os.environ["PATH"], **environ},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert "could not write the answer to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("command", ["dev", "collect", "doctor"])
def test_a_broken_yaml_file(call: Call, elsewhere: dict[str, str], empty_url: str, command: str) -> None:
    project = Path(elsewhere["METADATA_PROJECT"])
    (project / "metadata.yml").write_text("name: shop\nendpoints:\n  lake: {system: [files}\n")
    answer = call({**elsewhere, "METADATA_DATABASE_URL": empty_url}, command)
    assert answer.code != 0
    assert "metadata.yml:3:" in answer.out + answer.err
    assert "Traceback" not in answer.err


def test_a_project_that_is_not_there(call: Call, elsewhere: dict[str, str], tmp_path: Path) -> None:
    answer = call(elsewhere, "collect", "--project", str(tmp_path / "nothing"))
    assert answer.code == 2
    assert "metadata.yml" in answer.err


def test_a_port_in_use(call: Call, elsewhere: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = call(elsewhere, "dev", "--port", str(port), "--json")
    assert answer.code == 4
    assert answer.out == ""
    assert answer.error == {
        "error": "PortInUse",
        "message": f"port {port} of 127.0.0.1 is in use; stop what listens there, or choose another one with --port",
        "exit_code": 4,
        "host": "127.0.0.1",
        "port": port,
    }


def test_a_host_that_is_not_here(call: Call, elsewhere: dict[str, str]) -> None:
    answer = call(elsewhere, "dev", "--host", "192.0.2.1")
    assert answer.code == 2
    assert "choose others with --host and --port" in answer.err


@pytest.mark.parametrize(
    "command",
    [["dataset", "show"], ["materializations"], ["versions"], ["lineage"], ["materialization", "show"]],
)
def test_an_unknown_key_names_the_nearest(run: Run, filled: dict[str, UUID], command: list[str]) -> None:
    assert filled
    answer = run(*command, "lake/nyc/flihgts")
    assert answer.code == 3
    assert answer.out == ""
    assert "lake/nyc/flights" in answer.err
    assert run(*command, "lake/nyc/flihgts", "--json").error["error"] == "UnknownKey"
    assert run(*command, "mid1:dataset:LAKE:~/nyc/flights").code == 2


def test_what_is_not_there_and_what_does_not_fit(run: Run, filled: dict[str, UUID]) -> None:
    one = str(filled["delays"])
    assert run("materialization", "show", one.replace(one[0], "0" if one[0] != "0" else "1")).code == 3
    assert run("materialization", "show", one, "--partition", "2013-01-15").code == 2
    unsaid = run("materialization", "show", "lake/nyc/flights")
    assert unsaid.code == 2
    assert "say which with --partition, for example --partition 2013-01-15" in unsaid.err
    assert run("materialization", "show", "lake/nyc/flights", "--partition", "1999-01-01").code == 3
    assert run("materialization", "show", "jfk/public/flights").code == 3
    assert run("lineage", "lake/nyc/flights", "--json", "--format", "mermaid").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"],
        ["datasets", "--nosuch"],
        ["lineage"],
        ["versions", "a/b", "--limit", "0"],
        ["versions", "a/b", "--limit", "9" * 20],
        ["dev", "--port", "x"],
    ],
)
def test_a_command_line_that_nobody_understands(run: Run, arguments: list[str]) -> None:
    answer = run(*arguments)
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert json.loads(run(*arguments, "--json").err)["error"] == "UsageRefused"


def test_what_nobody_expected_shows_its_type_and_no_more(run: Run, store: MetadataStore) -> None:
    with psycopg.connect(store.sessions.engine.url.render_as_string(False).replace("+psycopg", "")) as connection:
        connection.execute("ALTER TABLE metadata.dataset RENAME COLUMN publish_policy TO secret_s3cr")
    answer = run("datasets")
    assert answer.code == 1
    assert answer.err == "unexpected: UndefinedColumn; run `metadata-assets --debug …` again for the traceback\n"
    debugged = run("--debug", "datasets")
    assert debugged.code == 1
    assert "Traceback" in debugged.err


def test_a_source_that_denies_some_tables(
    run: Run, environ: dict[str, str], make_database: Callable[..., str], make_login: Callable[[str], str]
) -> None:
    source = make_database()
    login = make_login(source)
    name = make_url(login).username
    with psycopg.connect(source) as connection:
        connection.execute(
            "CREATE TABLE public.open (id int PRIMARY KEY); CREATE SCHEMA shut; CREATE TABLE shut.t (id int)"
        )
        connection.execute(f"GRANT SELECT ON public.open TO {name}")
    database = make_url(source).database
    (Path(environ["METADATA_PROJECT"]) / "metadata.yml").write_text(
        f"name: shop\nendpoints:\n"
        f"  crm: {{system: postgres, url: env:CRM_URL, database: {database}, collect: {{schemas: [public, shut]}}}}\n"
        f"  down: {{system: postgres, url: env:DOWN_URL, database: x, collect: {{}}}}\n"
    )
    variables = {"CRM_URL": login, "DOWN_URL": NOWHERE}
    partly = run("collect", "crm", "--json", **variables)
    assert partly.code == 5
    (crm,) = partly.json["endpoints"]
    assert crm["assets"]["new"] == 1
    assert not crm["complete"]
    assert crm["gaps"]
    assert run("dataset", "show", "crm/public/open").code == 0
    both = run("collect", "--json", **variables)
    assert both.code == 4
    assert [one["error"] and one["error"]["error"] for one in both.json["endpoints"]] == [None, "EndpointUnreachable"]
    people = run("collect", **variables)
    assert people.code == 4
    assert "gap in crm" in people.err
    assert "not collected: cannot reach endpoint down at 127.0.0.1:1" in people.err
    assert no_password(both.out + both.err + people.out + people.err)
    unknown = run("collect", "crn", **variables)
    assert unknown.code == 3
    assert "did you mean crm?" in unknown.err
