"""The score cache: what one run computed, no other computes again; and nothing it holds can do harm."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rmbench.engine.cache import DiskCache, cache_file, open_cache
from rmbench.engine.judge import judge
from rmbench.engine.release import _minor
from rmbench.errors import RmbenchError
from rmbench.models.protocols import ModelFacts


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "folder" / "scores.sqlite")


def test_what_was_put_is_got(cache: DiskCache) -> None:
    many = {f"key{n}": f'{{"values": {{"reward": [{n}.0]}}}}' for n in range(1200)}
    cache.put("model", many)
    assert cache.get("model", [*many, "absent"]) == many
    assert cache.get("other", list(many)) == {}
    assert cache.get("model", []) == {}
    assert (cache.usage().rows, cache.usage().models) == (1200, 1)


def test_another_task_and_another_run_compute_nothing_again(cache: DiskCache, scorer: Any, examples: Any) -> None:
    first = judge("one", examples, scorer(), cache=cache)
    model = scorer()
    second = judge("two", examples, model, cache=cache)
    assert model.batches == []
    assert second.judgments == first.judgments
    assert second.cached == second.statistics.unique
    assert first.cached == 0


def test_only_what_is_new_is_computed(cache: DiskCache, scorer: Any, examples: Any) -> None:
    judge("one", examples[:5], scorer(), cache=cache)
    model = scorer()
    judging = judge("two", examples, model, cache=cache)
    computed = {text for batch in model.batches for text in batch}
    seen = scorer()
    judge("one", examples[:5], seen)
    assert computed.isdisjoint({text for batch in seen.batches for text in batch})
    assert judging.judgments == judge("two", examples, scorer()).judgments


def test_models_do_not_meet(cache: DiskCache, scorer: Any, examples: Any) -> None:
    judge("one", examples, scorer(), cache=cache)
    for other in (scorer(fingerprint="another"), scorer(answers=frozenset({"margin"})), scorer(fingerprint="")):
        judge("one", examples, other, cache=cache)
        assert other.batches


def test_failed_rows_are_not_kept(cache: DiskCache, scorer: Any, example: Any) -> None:
    rows = [example("a", "p", "x", "BAD")]
    bad = judge("t", rows, scorer(poison={"p\nBAD": float("nan")}), cache=cache)
    assert bad.judgments[0].status == "failed"
    assert judge("t", rows, scorer(), cache=cache).judgments[0].status == "ok"


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "s.sqlite", limit=200_000)
    for n in range(40):
        cache.put("model", {f"{n}-{k}": "x" * 1000 for k in range(10)})
    cache._connection.execute("UPDATE scores SET used = used - 1e6 WHERE row NOT LIKE '39-%'")
    assert cache.get("model", ["0-0"])  # used now, so it stays
    gone = cache.trim()
    assert 0 < gone < 400
    assert cache.usage().bytes <= 200_000
    assert len(cache.get("model", [f"39-{k}" for k in range(10)])) == 10
    assert cache.get("model", ["0-0"])
    assert cache.trim() == 0


def test_clear(cache: DiskCache) -> None:
    cache.put("model", {"a": "1", "b": "2"})
    assert cache.clear() == 2
    assert cache.usage().rows == 0
    assert cache.get("model", ["a"]) == {}


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    code = (
        "import sys; from pathlib import Path; from rmbench.engine.cache import DiskCache\n"
        "c = DiskCache(Path(sys.argv[1]))\n"
        "for n in range(60): c.put('m', {f'{sys.argv[2]}-{n}-{k}': 'x' for k in range(20)})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(file), name]) for name in ("a", "b")]
    assert [process.wait(60) for process in running] == [0, 0]
    assert DiskCache(file).usage().rows == 2 * 60 * 20


def test_processes_make_the_file_at_once(tmp_path: Path) -> None:
    """Each finds a whole table, whoever made it, and none is turned away."""
    code = (
        "import sys, time; from pathlib import Path; from rmbench.engine.cache import DiskCache\n"
        "time.sleep(max(0, float(sys.argv[3]) - time.time()))\n"
        "for n in range(20):\n"
        "    c = DiskCache(Path(sys.argv[1]) / f'{n}.sqlite', note=sys.exit)\n"
        "    c.put('m', {sys.argv[2]: 'x'})\n"
        "    c.close()\n"
    )
    start = str(time.time() + 3)
    names = ("a", "b", "c")
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name, start]) for name in names]
    assert [process.wait(100) for process in running] == [0, 0, 0]
    for n in range(20):
        assert len(DiskCache(tmp_path / f"{n}.sqlite").get("m", names)) == 3


def test_a_new_file_is_as_durable_as_an_old_one(tmp_path: Path) -> None:
    for _ in range(2):
        cache = DiskCache(tmp_path / "s.sqlite")
        values = [cache._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert values == [b"wal", 1]
        cache.close()


def test_a_file_that_is_no_cache(tmp_path: Path) -> None:
    file = tmp_path / "scores.sqlite"
    file.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(RmbenchError, match=r"cannot be used as the score cache.*RMBENCH_CACHE"):
        DiskCache(file)


def test_a_run_goes_on_without_a_file_that_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path))
    (tmp_path / "scores.sqlite").write_bytes(b"not a database" * 100)
    notes: list[str] = []
    with open_cache(note=notes.append) as cache:
        assert cache is None
    assert len(notes) == 1
    assert "the score cache is not used: " in notes[0]
    assert "`rmbench cache clear` makes it anew" in notes[0]
    with pytest.raises(RmbenchError, match="cannot be used as the score cache"), open_cache():
        pass


def test_another_release_or_library_has_rows_of_its_own(
    cache: DiskCache, scorer: Any, examples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge("one", examples, scorer(), cache=cache)

    def cached() -> int:
        return judge("one", examples, scorer(), cache=cache).cached

    assert cached() > 0
    versions = metadata.version
    try:
        for library in ("torch", "transformers"):
            for version in ("99.1.2", "99.1.7", "99.2.0"):
                with monkeypatch.context() as patch:
                    _minor.cache_clear()
                    given = {library: version}
                    patch.setattr(metadata, "version", lambda name, given=given: given.get(name) or versions(name))
                    assert (cached() > 0) is (version == "99.1.7")  # a patch release changes no score
    finally:
        _minor.cache_clear()
    for constant in ("rmbench.engine.release.SCORES_RELEASE", "rmbench.engine.known._FORMAT"):
        with monkeypatch.context() as patch:
            patch.setattr(constant, 99)
            assert cached() == 0
    assert cached() > 0


def test_another_device_or_dtype_has_rows_of_its_own(cache: DiskCache, scorer: Any, examples: Any) -> None:
    class Placed(scorer):  # type: ignore[misc]
        settings: ClassVar[dict[str, str]] = {"device": "cpu", "dtype": "float32"}

        @property
        def facts(self) -> ModelFacts:
            return replace(super().facts, settings=self.settings)

    judge("one", examples, Placed(), cache=cache)
    assert judge("one", examples, Placed(), cache=cache).cached > 0
    for other in ({"device": "cuda (H)", "dtype": "float32"}, {"device": "cpu", "dtype": "bfloat16"}):
        Placed.settings = other
        assert judge("one", examples, Placed(), cache=cache).cached == 0


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path))
    assert cache_file() == tmp_path / "scores.sqlite"
    for off in ("off", "0", ""):
        monkeypatch.setenv("RMBENCH_CACHE", off)
        assert cache_file() is None
        with open_cache() as cache:
            assert cache is None
    monkeypatch.delenv("RMBENCH_CACHE")
    found = cache_file()
    assert found is not None
    assert found.parts[-2:] == ("rmbench", "scores.sqlite")


def test_the_limit_is_read_and_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("RMBENCH_CACHE_LIMIT", "12345")
    with open_cache() as cache:
        assert cache is not None
        assert cache.limit == 12345
    monkeypatch.setenv("RMBENCH_CACHE_LIMIT", "2GB")
    with pytest.raises(RmbenchError, match="RMBENCH_CACHE_LIMIT is '2GB'"), open_cache():
        pass
    with open_cache(use=False) as nothing:
        assert nothing is None
