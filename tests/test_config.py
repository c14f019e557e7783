"""The configuration: what config.example.toml promises, and the sentences that refuse a wrong file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hintd.config import BadConfig, Config, load_config, secret

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"


@pytest.fixture
def example() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text())


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hintd.toml"
    path.write_text(text)
    return path


def test_the_example_holds_every_setting_with_its_default_and_nothing_else(example: dict[str, Any]) -> None:
    assert example == msgspec.to_builtins(Config())


def test_the_example_is_a_working_file() -> None:
    assert load_config(EXAMPLE, {}) == Config()


def test_every_setting_of_the_example_stands_below_its_reason() -> None:
    lines = EXAMPLE.read_text().splitlines()
    settings = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    unexplained = [
        lines[i]
        for i in settings
        if not lines[i - 1].startswith("#") and i - 1 not in settings and not lines[i - 1].startswith("[")
    ]
    assert unexplained == []


def test_without_a_file_the_defaults_hold() -> None:
    assert load_config(None, {}) == Config()


def test_the_examples_of_fields_are_accepted(tmp_path: Path) -> None:
    commented = [line for line in EXAMPLE.read_text().splitlines() if line.startswith("# ") and " = { " in line]
    path = write(tmp_path, "\n".join(["[sync.fields]", *(line.removeprefix("# ") for line in commented)]))
    names = {field.name for field in load_config(path, {}).field_map()}
    assert len(commented) == 3
    assert "pronouns" in names


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        pytest.param("HINTD_HINT__PARTNER_KEY", "k", lambda c: c.hint.partner_key == "k", id="text"),
        pytest.param("HINTD_SALESFORCE__PUBSUB_TLS", "true", lambda c: c.salesforce.pubsub_tls is True, id="flag"),
        pytest.param("HINTD_HINT__REQUESTS_PER_DAY", "7", lambda c: c.hint.requests_per_day == 7, id="whole number"),
        pytest.param("HINTD_SYNC__SWEEP_INTERVAL_S", "1.5", lambda c: c.sync.sweep_interval_s == 1.5, id="number"),
        pytest.param(
            "HINTD_SECURITY__ENCRYPTION_KEYS", "a, b", lambda c: c.security.encryption_keys == ["a", "b"], id="list"
        ),
    ],
)
def test_the_environment_overrides_the_file(name: str, text: str, seen: Any) -> None:
    assert seen(load_config(EXAMPLE, {name: text}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[hint]\napi_ulr = 'x'", ["api_ulr", "[hint]"], id="unknown key"),
        pytest.param("[hnt]\napi_url = 'x'", ["hnt"], id="unknown section"),
        pytest.param("[postgres]\npool_size = 'ten'", ["postgres.pool_size", "int"], id="wrong type"),
        pytest.param("[hint]\napi_url = 'http://api.hint.com'", ["hint.api_url", "https"], id="plain http"),
        pytest.param("[salesforce]\nlogin_url = 'login'", ["salesforce.login_url", "https://host"], id="no address"),
        pytest.param(
            "[salesforce]\npubsub_tls = false", ["salesforce.pubsub_tls", "loopback"], id="plain gRPC over the net"
        ),
        pytest.param("[salesforce]\nauth = 'password'", ["salesforce.auth", "jwt"], id="unknown flow"),
        pytest.param("[sync]\nwinner = 'newest'", ["sync.winner", "later"], id="unknown winner"),
        pytest.param("[service]\npublic_listen = '8080'", ["service.public_listen", "host:port"], id="no host"),
        pytest.param("[bus]\nurl = 'amqp://localhost/'", ["bus.url", "[postgres] dsn"], id="bus without Postgres"),
        pytest.param(
            "[sync.fields]\npronouns = { hint = 'pronouns' }",
            ["sync.fields", "pronouns", "salesforce"],
            id="half a pair",
        ),
        pytest.param("[hint\n", ["no valid TOML"], id="no TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_setting_and_with_what_to_do(tmp_path: Path, text: str, told: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadConfig) as refused:
        load_config(path, {})
    assert [part for part in [str(path), *told] if part not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("HINTD_HINT__PARTNER_KIE", "x", id="unknown key"),
        pytest.param("HINTD_NOBODY__KEY", "x", id="unknown section"),
        pytest.param("HINTD_POSTGRES__POOL_SIZE", "ten", id="wrong type"),
    ],
)
def test_a_wrong_environment_is_refused_by_the_variables_name(name: str, text: str) -> None:
    with pytest.raises(BadConfig, match=name):
        load_config(None, {name: text})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml", {})


def test_a_secrets_file_goes_before_the_setting_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    assert secret("from the setting", str(file), "hint.partner_key") == "from the file"


def test_an_unreadable_secrets_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"hint\.partner_key_file.*nowhere"):
        secret("", str(tmp_path / "nowhere"), "hint.partner_key")


def test_a_section_never_prints_its_secrets() -> None:
    config = load_config(None, {"HINTD_HINT__PARTNER_KEY": "s3cret"})
    assert "s3cret" not in repr(config) + repr(config.hint)
