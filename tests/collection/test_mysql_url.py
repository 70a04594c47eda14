"""What the parameters of a MySQL URL ask for, on a real server with a certificate of its own."""

import pytest

from identity.errors import InvalidUrl
from metadata_assets.collection import mysql
from metadata_assets.collection.errors import EndpointUnreachable
from metadata_assets.collection.mysql_url import driver_options
from tests.collection.places import MariaDB


def encrypted(server: MariaDB, **parameters: str) -> bool:
    parameters = {name: value.replace("CERTIFICATE", str(server.certificate)) for name, value in parameters.items()}
    with mysql._connected(server.url(**parameters), "erp", "there") as connection:
        ((_name, cipher),) = mysql._rows(connection, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    return bool(cipher)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"ssl_ca": "CERTIFICATE"}, True),
        ({"ssl-ca": "CERTIFICATE", "ssl_mode": "VERIFY_IDENTITY"}, True),
        ({"ssl_mode": "REQUIRED"}, True),
        ({"ssl": "true", "ssl_verify_cert": "false", "charset": "utf8"}, True),
        ({"ssl": "false"}, False),
        ({"ssl_disabled": "true"}, False),
        ({"sslmode": "disabled"}, False),
    ],
)
def test_tls_is_as_the_url_says(mariadb: MariaDB, parameters: dict[str, str], expected: bool) -> None:
    assert encrypted(mariadb, **parameters) is expected


@pytest.mark.parametrize("parameters", [{"ssl": "true"}, {"ssl_mode": "verify_ca"}, {"ssl_check_hostname": "true"}])
def test_a_certificate_that_nobody_trusts_is_refused(mariadb: MariaDB, parameters: dict[str, str]) -> None:
    with pytest.raises(EndpointUnreachable, match="its certificate is not one that is trusted"):
        encrypted(mariadb, **parameters)


def test_a_certificate_of_another_host_is_refused(mariadb: MariaDB) -> None:
    url = mariadb.url(ssl_ca=str(mariadb.certificate)).replace("@localhost", "@elsewhere.example.com")
    with pytest.raises(EndpointUnreachable, match="trusted for this host"), mysql._connected(url, "erp", "there"):
        pass
    with mysql._connected(f"{url}&ssl_mode=verify_ca", "erp", "there"):
        pass


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("ssl_csa=planted-canary", "ssl_csa is not known"),
        ("planted-canary", "a parameter that is not known"),
        ("planted-canary=1", "planted-canary is not known"),
        ("ssl=planted-canary", "ssl is neither true nor false"),
        ("ssl_mode=planted-canary", "ssl_mode is none that MySQL has"),
        ("ssl_ca=", "ssl_ca is empty"),
        ("ssl_ca=/planted-canary", "ssl_ca names cannot be used"),
        ("ssl=true&ssl_cert=/planted-canary", "ssl_cert names cannot be used"),
        ("ssl_key=/planted-canary", "ssl_key without ssl_cert"),
        ("ssl_cipher=planted-canary", "ssl_cipher names cannot be used"),
        ("ssl=true&ssl=false", "ssl is there twice"),
        ("ssl=false&ssl_ca=/planted-canary", "contradict each other"),
        ("ssl_mode=preferred&ssl=true", "contradict each other"),
        ("ssl_verify_cert=false&ssl_verify_identity=true", "contradict each other"),
        ("connect_timeout=planted-canary", "connect_timeout is no whole number of seconds"),
        ("read_timeout=0", "read_timeout is no whole number of seconds"),
        ("write_timeout=1.5", "write_timeout is no whole number of seconds"),
        ("connect_timeout=31536001", "connect_timeout is no whole number of seconds"),
        ("max_allowed_packet=1G", "max_allowed_packet is no whole number of bytes"),
        ("init_command=planted-canary", "init_command is not known"),
        ("local_infile=true", "local_infile is not known"),
        ("read_default_file=/planted-canary", "read_default_file is not known"),
    ],
)
def test_a_parameter_that_cannot_be_followed_is_refused_by_its_name(parameters: str, said: str) -> None:
    with pytest.raises(InvalidUrl, match=said) as caught:
        driver_options(f"mysql://reader:hunter2@db.example.com/?{parameters}")
    assert "planted-canary" not in str(caught.value) or "planted-canary is not known" in said
    assert driver_options("mysql://reader:hunter2@db.example.com/erp?charset=utf8mb4") == {}


def test_limits_of_time_and_size_are_the_drivers(mariadb: MariaDB) -> None:
    given = {"connect_timeout": "3", "read_timeout": "5", "write-timeout": "7", "max_allowed_packet": "70000"}
    url = mariadb.url(**given, program_name="collector", charset="utf8", collation="utf8_bin", use_unicode="1")
    with mysql._connected(url, "erp", "there") as connection:
        assert (connection.connect_timeout, connection._read_timeout, connection._write_timeout) == (3, 5, 7)
        assert connection.max_allowed_packet == 70_000
        ((charset,),) = mysql._rows(connection, "SELECT @@character_set_client")
        assert charset == "utf8mb4"
    with mysql._connected(mariadb.url(), "erp", "there") as connection:
        assert (connection.connect_timeout, connection._read_timeout, connection._write_timeout) == (10, 70, 70)
    with (
        pytest.raises(EndpointUnreachable, match="the connection was lost"),
        mysql._connected(mariadb.url(read_timeout="1"), "erp", "there") as connection,
    ):
        mysql._rows(connection, "SELECT sleep(20)")
