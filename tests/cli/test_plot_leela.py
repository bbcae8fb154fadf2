"""Pictures of LEELA chunks from an archive, and the refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.errors import ArchiveError, ModelError
from fulgor.models.serving import SHIPPED
from fulgor.preprocessing.leela import LeelaChunk, LeelaDecoder, prepare_together
from fulgor.replay.archive import open_archive
from fulgor.replay.chunks import encode_chunks
from fulgor.replay.simulate.leela import simulate


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chunks") / "chunks.avro"
    made = [each.record for each in simulate(30, 5)]
    silent = {**made[0], "wvfmdata": bytes(2048), "starttime": made[0]["starttime"] + 10**10}
    path.write_bytes(encode_chunks([*made, silent]))
    return path


@pytest.fixture(scope="module")
def chunks(archive: Path) -> list[LeelaChunk]:
    (message,) = open_archive(archive)
    return [record for record in LeelaDecoder()(message.value) if isinstance(record, LeelaChunk)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr("fulgor.plots.files.write_figure", lambda figure, path: figures.append(figure))
    return figures


def run(*words: str | Path) -> None:
    result = CliRunner().invoke(app, ["plot", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_a_pulse_leads_to_its_chunk(archive: Path, chunks: list[LeelaChunk], drawn: list[Figure]):
    run("chunk", archive, f"{chunks[3].id}#2")
    np.testing.assert_array_equal(drawn[0].axes[0].lines[0].get_ydata(), chunks[3].samples)
    with pytest.raises(ArchiveError, match=rf"holds no chunk nobody: the first are {chunks[0].id}, "):
        run("chunk", archive, "nobody")


def test_without_an_id_the_strongest_pulse_is_shown(archive: Path, chunks: list[LeelaChunk], drawn: list[Figure]):
    prepared = prepare_together(chunks)
    best = max(range(len(chunks)), key=lambda n: max((pulse.snr for pulse in prepared[n].pulses), default=0))
    run("pulses", archive)
    assert len(drawn[0].axes) == 2 * len(prepared[best].pulses)
    run("periodogram", archive, "--segment", "128")
    assert chunks[best].id in drawn[1].get_suptitle()
    assert drawn[1].axes[0].collections[0].get_array().shape == (26, 9)


def test_the_latents_of_all_pulses_lie_in_space(archive: Path, chunks: list[LeelaChunk], drawn: list[Figure]):
    run("space", archive)
    count = sum(len(each.pulses) for each in prepare_together(chunks))
    assert sum(len(cloud.get_offsets()) for cloud in drawn[0].axes[0].collections) == 2 * count


def test_what_cannot_be_drawn_is_refused(archive: Path, chunks: list[LeelaChunk], drawn: list[Figure]):
    silent = chunks[-1].id
    run("chunk", archive, silent)
    assert any("no band-passed signal: all 1024 samples are 0" in text.get_text() for text in drawn[0].axes[1].texts)
    with pytest.raises(ArchiveError, match="has no band-passed signal of 64 samples"):
        run("periodogram", archive, silent)
    with pytest.raises(ModelError, match="could not be prepared"):
        run("pulses", archive, silent)
    with pytest.raises(ModelError, match="not of leela"):
        run("pulses", archive, chunks[0].id, "--model", SHIPPED / "ztf")


def test_a_message_that_cannot_be_decoded_is_passed_over(
    archive: Path, chunks: list[LeelaChunk], drawn: list[Figure], tmp_path: Path
):
    (tmp_path / "a.avro").write_bytes(archive.read_bytes()[:-1])
    (tmp_path / "b.avro").write_bytes(archive.read_bytes())
    run("chunk", tmp_path, chunks[3].id)
    assert len(drawn) == 1
