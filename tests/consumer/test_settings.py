from __future__ import annotations

from pathlib import Path

import pytest

from fulgor.consumer.settings import Settings, config_path, load_settings
from fulgor.errors import SettingsError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No config file of the developer's own gets in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FULGOR_CONFIG", raising=False)


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "given.toml"
    path.write_text(text)
    return path


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path):
    path = file(tmp_path, 'group = "file"\ntopic = "file"\nbatch_size = 7\n')
    settings = load_settings(
        {"group": "flag", "topic": None},
        config=path,
        environment={"FULGOR_GROUP": "environment", "FULGOR_TOPIC": "environment"},
    )
    assert (settings.group, settings.topic, settings.batch_size) == ("flag", "environment", 7)
    assert settings.deadline_ms == Settings().deadline_ms


@pytest.mark.parametrize(
    ("flags", "environment", "text", "origin"),
    [
        ({"batch_size": 0}, {}, "", "--batch-size"),
        ({}, {"FULGOR_BATCH_SIZE": "x"}, "", "environment variable FULGOR_BATCH_SIZE"),
        ({}, {}, "batch_size = -1", "given.toml"),
        ({"start": 5}, {}, "", "--from"),
    ],
)
def test_an_error_names_where_the_value_came_from(tmp_path: Path, flags, environment, text, origin):
    with pytest.raises(SettingsError, match=origin):
        load_settings(flags, config=file(tmp_path, text), environment=environment)


def test_recordings_come_as_a_list_or_like_a_search_path(tmp_path: Path):
    listed = load_settings(config=file(tmp_path, 'recordings = ["a", "b"]'), environment={})
    assert listed.recordings == (Path("a"), Path("b"))
    named = load_settings(config=file(tmp_path, ""), environment={"FULGOR_RECORDINGS": "a:b"})
    assert named.recordings == listed.recordings
    assert load_settings({"recordings": [Path("c")]}, environment={"FULGOR_RECORDINGS": "a"}).recordings == (Path("c"),)


def test_an_unknown_setting_in_the_file_is_refused_with_those_there_are(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"unknown setting 'batchsize'.*batch_size"):
        load_settings(config=file(tmp_path, "batchsize = 3"), environment={})


def test_a_broken_file_says_where(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"given\.toml"):
        load_settings(config=file(tmp_path, "batch_size = = 3"), environment={})


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match="--config"):
        config_path(tmp_path / "none.toml")
    monkeypatch.setenv("FULGOR_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="FULGOR_CONFIG"):
        config_path()


def test_kafka_settings_that_are_no_table_are_an_error(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"kafka \(from config file .*\): .*dictionary"):
        load_settings(config=file(tmp_path, "kafka = 3\n"), environment={})


def test_kafka_settings_of_all_layers_merge(tmp_path: Path):
    path = file(tmp_path, '[kafka]\nsecurity.protocol = "SASL_SSL"\n"sasl.username" = "file"\n')
    settings = load_settings(
        {"kafka": {"sasl.mechanism": "SCRAM-SHA-512"}},
        config=path,
        environment={"FULGOR_KAFKA_SASL_USERNAME": "environment", "FULGOR_KAFKA_SASL_PASSWORD": "p"},
    )
    assert settings.kafka == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "environment",
        "sasl.password": "p",
        "sasl.mechanism": "SCRAM-SHA-512",
    }


def test_secrets_in_arguments_are_refused():
    with pytest.raises(SettingsError, match="FULGOR_KAFKA_SASL_PASSWORD"):
        load_settings({"kafka": {"sasl.password": "x"}}, environment={})
    for url in ("postgresql://u:secret@h/d", "host=h password=secret"):
        with pytest.raises(SettingsError, match="pgpass") as caught:
            load_settings({"database": url}, environment={})
        assert "secret" not in str(caught.value)
    assert load_settings({"database": "postgresql://u@h/d"}, environment={}).database == "postgresql://u@h/d"


def test_a_wrong_database_value_is_not_shown():
    with pytest.raises(SettingsError) as caught:
        load_settings({}, environment={"FULGOR_DATABASE": "postgresql://u:secret@h/d", "FULGOR_THREADS": "0"})
    assert "secret" not in str(caught.value)
