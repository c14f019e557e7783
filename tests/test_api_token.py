"""The API's token: the configured one, or in embedded mode one that is made once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hintd.composition import api_token, own_api_token
from hintd.config import BadConfig, load_config

DSN = "postgresql:///hintd"


def test_embedded_mode_makes_a_token_once_for_its_owner_only(tmp_path: Path) -> None:
    config = load_config(None, {"HINTD_SERVICE__DATA_DIR": str(tmp_path / "data")})
    token, file = api_token(config), own_api_token(tmp_path / "data")
    assert len(token) > 40
    assert api_token(config) == token == file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_configured_token_makes_none(tmp_path: Path) -> None:
    config = load_config(None, {"HINTD_SERVICE__DATA_DIR": str(tmp_path), "HINTD_SERVICE__API_TOKEN": "ours"})
    assert api_token(config) == "ours"
    assert not own_api_token(tmp_path).exists()


def test_a_server_without_a_configured_token_has_none(tmp_path: Path) -> None:
    config = load_config(None, {"HINTD_POSTGRES__DSN": DSN, "HINTD_SERVICE__DATA_DIR": str(tmp_path)})
    assert api_token(config) == ""
    assert not own_api_token(tmp_path).exists()


def test_a_token_is_read_from_its_file_and_a_missing_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "token"
    config = load_config(None, {"HINTD_POSTGRES__DSN": DSN, "HINTD_SERVICE__API_TOKEN_FILE": str(file)})
    with pytest.raises(BadConfig, match="api_token_file"):
        api_token(config)
    file.write_text("of the file\n")
    assert api_token(config) == "of the file"
