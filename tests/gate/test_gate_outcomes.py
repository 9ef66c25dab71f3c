"""The gate on folders of records: verdicts, exit codes, and what is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rmbench.gate import gate
from rmbench.gate.policy import GateError
from rmbench.metric_spec import MetricSpec
from rmbench.text import markdown_text
from tests._make import margins, printed

Put = Callable[..., Path]
PAYLOADS: list[str] = json.loads((Path(__file__).parent.parent / "boards" / "payloads.json").read_text("utf-8"))
TAU = MetricSpec("tau", "kendall_b", chance=0.0)


@pytest.fixture
def sides(tmp_path: Path, put_record: Put) -> Callable[..., tuple[Path, Path]]:
    """Puts a task on both sides; call it again for further tasks."""

    def put(a: list[float], b: list[float], task: str = "pairs", **both: object) -> tuple[Path, Path]:
        put_record(tmp_path / "old", a, task=task, **both)
        put_record(tmp_path / "new", b, task=task, **both)
        return tmp_path / "old", tmp_path / "new"

    return put


Sides = Callable[..., tuple[Path, Path]]


def test_identical_judgments_pass_on_a_handful_of_rows(sides: Sides) -> None:
    result = gate(*sides(margins(5, 8), margins(5, 8)))
    assert (result.verdict, result.exit_code) == ("pass", 0)
    assert "identical" in result.tasks[0].decision.reason


def test_other_scores_with_the_same_credits_need_rows(sides: Sides) -> None:
    result = gate(*sides(margins(5, 8), [2 * margin for margin in margins(5, 8)]))
    assert (result.verdict, result.exit_code) == ("inconclusive", 2)
    assert result.tasks[0].decision.n_needed is not None


def test_a_clear_loss_is_a_regression(sides: Sides) -> None:
    result = gate(*sides(margins(8, 8), margins(8, 8, lost=8)))
    assert (result.verdict, result.exit_code) == ("regression", 1)


def test_every_report_says_which_margin_the_rows_decide(sides: Sides) -> None:
    # Of 358 rows 18 differ: psi .05, for which 3.2 points are decided.
    result = gate(*sides(margins(200, 358), [*margins(191, 191), *([-1.0] * 158), *margins(9, 9)]))
    sentence = "358 rows decide margins from 3.2 points"
    assert sentence in " ".join(printed(result).split())
    assert sentence in result.to_markdown()
    assert result.to_dict()["tasks"][0]["decidable_margin"] == pytest.approx(0.0319, abs=1e-4)
    assert "decide margins" not in printed(gate(*sides(margins(5, 8), margins(5, 8))))


def test_the_margin_decides(sides: Sides) -> None:
    # 30 of 1,000 rows lost: the one-sided limits are about -4.0 and -2.2 points.
    old, new = sides(margins(800, 1000), margins(800, 1000, lost=30))
    assert gate(old, new, margin_points=2.0).verdict == "regression"
    passed = gate(old, new, margin_points=5.0)
    assert passed.verdict == "pass"
    assert "though there is one" in passed.tasks[0].decision.reason


def test_few_discordant_clusters_are_inconclusive(sides: Sides) -> None:
    clusters = [f"c{k // 4}" for k in range(400)]
    base = margins(400, 400)
    lost = [-1.0 if k < 28 else value for k, value in enumerate(base)]
    old, new = sides(base, lost, clusters=clusters)
    result = gate(old, new)
    assert result.verdict == "inconclusive"
    assert result.tasks[0].decision.reason == "only 7 discordant clusters, and a decision needs 8"
    assert gate(old, new, min_discordant_clusters=7).verdict == "regression"


def test_inconclusive_may_end_with_zero_and_keeps_its_name(sides: Sides) -> None:
    old, new = sides(margins(5, 8), margins(5, 8, lost=1))
    result = gate(old, new, inconclusive="pass")
    assert (result.verdict, result.exit_code) == ("inconclusive", 0)
    assert gate(old, new).exit_code == 2


def test_every_task_of_the_baseline_must_be_there(sides: Sides, put_record: Put, tmp_path: Path) -> None:
    old, new = sides(margins(5, 8), margins(5, 8))
    put_record(new, margins(5, 8), task="extra")
    result = gate(old, new)
    assert result.exit_code == 0
    assert result.remarks == ("Not in the baseline: extra.",)
    put_record(old, margins(5, 8), task="more")
    result = gate(old, new)
    assert result.exit_code == 3
    assert {task.compared.task: task.decision.verdict for task in result.tasks} == {"pairs": "pass", "more": "broken"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "A judged version 1 of the task, B version 2"),
        ({"changed": {"data": {"digest": "e" * 64}}}, "different data"),
        ({"spec": MetricSpec("accuracy", "all", chance=0.5)}, "declared differently (rule)"),
        ({"failed": [3]}, "the candidate failed on 1 of 8 rows, first r3: NaN"),
    ],
)
def test_what_cannot_be_held_against_the_baseline_is_broken(
    tmp_path: Path, put_record: Put, change: dict[str, object], said: str
) -> None:
    put_record(tmp_path / "old", margins(5, 8))
    put_record(tmp_path / "new", margins(5, 8), **change)
    result = gate(tmp_path / "old", tmp_path / "new")
    assert (result.verdict, result.exit_code) == ("broken", 3)
    assert said in result.tasks[0].decision.reason


def test_a_baseline_with_failures_flatters_the_candidate_and_is_broken(tmp_path: Path, put_record: Put) -> None:
    put_record(tmp_path / "old", margins(5, 8), failed=[0])
    put_record(tmp_path / "new", margins(5, 8))
    assert "the baseline failed on 1 of 8" in gate(tmp_path / "old", tmp_path / "new").tasks[0].decision.reason
    assert gate(tmp_path / "old", tmp_path / "new", min_coverage=0.8).verdict == "inconclusive"


def test_a_changed_table_or_record_is_broken(sides: Sides) -> None:
    old, new = sides(margins(5, 8), margins(5, 8))
    (folder,) = new.glob("*/*")
    (folder / "judgments.parquet").write_bytes(b"PAR1")
    assert "sha256" in gate(old, new).tasks[0].decision.reason
    (folder / "record.json").write_text("{", "utf-8")
    result = gate(old, new)
    assert result.exit_code == 3
    assert "cannot be read" in result.tasks[0].decision.reason


def test_an_undefined_metric_is_broken(sides: Sides) -> None:
    human = [float(k % 5) for k in range(20)]
    result = gate(*sides(human, [1.0] * 20, spec=TAU, ratings=human))
    assert result.exit_code == 3
    assert result.tasks[0].decision.reason == "the metric is undefined on the candidate's answers"


def test_correlations_are_gated_too(sides: Sides) -> None:
    human = [float(k % 5) for k in range(80)]
    noisy = [-value if k % 3 == 0 else value for k, value in enumerate(human)]
    old, new = sides(human, noisy, spec=TAU, ratings=human)
    assert gate(old, new).verdict == "regression"
    assert gate(new, old).verdict == "pass"


def test_holm_over_the_tasks(sides: Sides) -> None:
    # 12 lost and 3 won of 200: Tango's one-sided p is .0101. Alone it is an alarm, among six tasks .0083 is asked.
    base = margins(150, 200)
    worse = margins(150, 200, lost=12)
    worse[-3:] = [1.0] * 3
    old, new = sides(base, worse, task="t0")
    assert gate(old, new).verdict == "regression"
    for k in range(1, 6):
        sides(base, base, task=f"t{k}")
    result = gate(old, new)
    assert result.verdict == "inconclusive"
    assert result.tasks[0].decision.reason == "worse by itself, but not as one of 6 tasks (Holm)"
    # A second, stronger loss is tried first and leaves the weaker one a family of six: .05/6, then .05/5 = .01.
    sides(base, margins(150, 200, lost=60), task="t6")
    verdicts = {task.compared.task: task.decision.verdict for task in gate(old, new).tasks}
    assert verdicts["t6"] == "regression"
    assert verdicts["t0"] == "inconclusive"


def test_bad_arguments_have_exit_code_3(sides: Sides, tmp_path: Path, put_record: Put) -> None:
    old, new = sides(margins(5, 8), margins(5, 8))
    put_record(new, margins(5, 8), name="org/other")
    for baseline, candidate in ((old, new), (tmp_path / "nowhere", old)):
        with pytest.raises(GateError) as error:
            gate(baseline, candidate)
        assert error.value.exit_code == 3
    with pytest.raises(GateError, match="margin_points"):
        gate(old, old, margin_points=0)


def test_one_verdict_ends_the_text_and_sets_the_code(sides: Sides) -> None:
    old, new = sides(margins(5, 8), margins(5, 8))
    sides(margins(8, 8), margins(8, 8, lost=8), task="worse")
    result = gate(old, new)
    text = printed(result)
    assert text.split()[-1] == "regression"
    assert "exit code 1" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (plain["verdict"], plain["exit_code"]) == ("regression", 1)
    assert {task["task"]: task["verdict"] for task in plain["tasks"]} == {"pairs": "pass", "worse": "regression"}
    assert plain["policy"]["margin_points"] == 1.0
    assert result.to_markdown().startswith("### rmbench gate: regression\n")


def test_the_markdown_summary_says_why(sides: Sides) -> None:
    old, new = sides(margins(8, 8), margins(8, 8, lost=8))
    text = gate(old, new).to_markdown()
    # With every row lost Tango's upper limit has the closed form (z^2 - n)/(z^2 + n): (2.7055 - 8)/10.7055.
    assert "| pairs@1 | 1.000 | .000 | -100.00 [-100.00, -49.46] | 8/0 | 8 | regression |" in text
    assert "**regression**, worse: the upper limit is below 0" in text
    assert "- r0: credit 1.00 to .00, margin -1" in text
    assert "- 3 more lost" in text


class Tags(HTMLParser):
    """The tags of a text, as a renderer of HTML inside Markdown sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_escaped_names_keep_every_character() -> None:
    assert markdown_text("https://example.org/@all") == "https:/&#8203;/example.org/@&#8203;all"
    assert markdown_text("- a_b") == r"\- a\_b"
    assert markdown_text("12. <x>|") == r"12\. &lt;x&gt;\|"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_name_is_markup_in_markdown(payload: str) -> None:
    text = markdown_text(payload)
    assert Tags(text).seen == []
    assert "\n" not in text
    # Every character that Markdown reads stands behind an odd number of backslashes.
    assert not re.search(r"(?<!\\)(?:\\\\)*[`|*_\[\]~$]", text.replace("\\\\", ""))
    assert not re.match(r"[-+#>]|\d+[.)]", text)
    assert "://" not in text


def test_hostile_names_keep_the_table_whole(tmp_path: Path, put_record: Put) -> None:
    for k, payload in enumerate(PAYLOADS):
        for side in ("old", "new"):
            put_record(tmp_path / side, margins(5, 8), name="a|b\n<img src=x>", task=f"{payload} {k}")
    result = gate(tmp_path / "old", tmp_path / "new")
    text = result.to_markdown()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 51
    assert {len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) for row in rows} == {8}
    assert set(Tags(text).seen) <= {"details", "summary"}
    assert "\x1b" not in printed(result)


def test_what_differs_everywhere_is_said_once(sides: Sides, put_record: Put, tmp_path: Path) -> None:
    old, new = sides(margins(5, 8), margins(5, 8))
    for task, dtype in (("pairs", "bfloat16"), ("more", "bfloat16")):
        put_record(old, margins(5, 8), task=task)
        settings = {"dtype": dtype} | ({"unit": "tokens"} if task == "more" else {})
        put_record(new, margins(5, 8), task=task, changed={"model": {"settings": settings}})
    for text in (" ".join(printed(gate(old, new)).split()), gate(old, new).to_markdown()):
        assert text.count("dtype: float32 -") == 1
        assert text.count("unit: unset -") == 1
