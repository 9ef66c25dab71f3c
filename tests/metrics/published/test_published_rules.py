"""Published figures of real models, reproduced from their released scores and verdicts."""

from __future__ import annotations

import json

import pytest

from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.measure import measure
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Verdict
from tests._make import read_lines as lines


def by_group(values):
    return {value.group: value for value in values}


FIRST_BETTER = (Edge(0, 1),)


def scored(name, rewards, edges=FIRST_BETTER, groups=None, cluster=""):
    judgment = Judgment(name, rewards=tuple(rewards))
    return Judged(name, len(rewards), Gold(edges), judgment, groups or {}, cluster or name)


def judge_bench(released, judge, table):
    """Rows of one judge; rewards where the judge is a reward model, else its decisions in both orders."""
    model = {"gpt": "gpt-4o-2024-05-13", "claude": "claude-3-5-sonnet-20240620"}[table["split"]]
    pairs, scores = (
        f"judgebench/data/dataset=judgebench,response_model={model}.jsonl",
        f"judgebench/scores/{judge}.jsonl",
    )
    data = released(pairs, scores)
    gold = {row["pair_id"]: row for row in lines(data / pairs)}
    rows = []
    for line in lines(data / scores):
        row = gold[line["id"]]
        edge = Edge(0, 1) if row["label"] == "A>B" else Edge(1, 0)
        prefix = row["source"].split("-")[0]
        group = "mmlu-pro" if prefix == "mmlu" else row["source"]
        verdicts = []
        for shown, said in zip(((0, 1), (1, 0)), line["decisions"], strict=True):
            value = {"A>B": shown[0], "B>A": shown[1], "A=B": TIE}.get(said)
            verdicts.append(Verdict(shown, "pick", value, "unparsed" if value is None else "ok"))
        judgment = Judgment(line["id"], rewards=line.get("scores"), verdicts=tuple(verdicts))
        rows.append(Judged(line["id"], 2, Gold((edge,)), judgment, {"group": group}, line["id"]))
    return rows


SKYWORK, GRM = "Skywork_Skywork-Reward-Llama-3.1-8B", "Ray2333_GRM-Gemma-2B-rewardmodel-ft"
JUDGES = (
    *(f"reward_model__{name}" for name in (SKYWORK, GRM, "Skywork_Skywork-Reward-Gemma-2-27B")),
    *(f"reward_model__internlm_internlm2-{size}-reward" for size in ("7b", "20b")),
    *(f"arena_hard__{name}" for name in ("o1-mini-2024-09-12", "claude-3-haiku-20240307")),
)


def test_judgebench_judges_are_all(golden):
    assert set(JUDGES) == set(golden("judgebench"))


@pytest.mark.parametrize("judge", JUDGES)
def test_judgebench(released, golden, judge):
    """Each judge, overall and by group, and the value of its first order alone."""
    majority = MetricSpec("score", "two_order_majority", report=(("group",),))
    table = golden("judgebench")[judge]
    rows = judge_bench(released, judge, table)
    got = by_group(measure(rows, [majority]))
    names = [name for name, of in table.items() if isinstance(of, dict) and name != "overall"]
    groups = {None: table["overall"]} | {f"group={name}": table[name] for name in names}
    assert set(got) == set(groups)
    for group, expected in groups.items():
        assert got[group].n == expected["n"]
        assert round(got[group].value * expected["n"]) == expected["correct"]
        assert 100 * got[group].value == pytest.approx(expected["accuracy"], abs=6e-5)
    # Its decisions alone give the same values, for reward models too.
    judged = [Judged(r.id, 2, r.gold, Judgment(r.id, verdicts=r.judgment.verdicts), r.groups, r.id) for r in rows]
    again = by_group(measure(judged, [majority], answer_kind="verdict"))
    assert {group: value.value for group, value in again.items()} == {g: v.value for g, v in got.items()}
    first = measure(judged, [MetricSpec("first", "first_order")])[0]
    assert 100 * first.value == pytest.approx(table["overall"]["first_order_only"], abs=6e-5)


@pytest.mark.parametrize("name, percent", [(SKYWORK, 62.2857), (GRM, 59.4286)])
def test_judgebench_headline(released, golden, name, percent):
    judge = f"reward_model__{name}"
    rows = judge_bench(released, judge, golden("judgebench")[judge])
    value = measure(rows, [MetricSpec("score", "two_order_majority")])[0]
    assert (len(rows), 100 * value.value) == (350, pytest.approx(percent, abs=5e-5))


RULES = {
    "correct_False": "first_order",
    "correct_True": "second_order",
    "correct_average": "two_order_mean",
    "correct_both": "both_orders",
    "equal": "order_agreement",
}
SUBSETS = ("Natural", "Adversarial/Neighbor", "Adversarial/GPTInst", "Adversarial/GPTOut", "Adversarial/Manual")


def percent(statistic):
    """Upstream prints either "33 / 92 = 35.869565217391305%" or the percentage alone."""
    return float(statistic.split("=")[-1].rstrip("%"))


def llm_bar(data):
    """(subset, evaluator, statistics, rows) of each released file."""
    labels = {
        subset: [
            row["label"] for row in json.loads((data / f"llmbar/Dataset/LLMBar/{subset}/dataset.json").read_text())
        ]
        for subset in SUBSETS
    }
    for line in lines(data / "llmbar/verdicts.jsonl"):
        rows = []
        subset = line["subset"]
        for k, label in enumerate(labels[subset]):
            said = (line["swap_false"][k], line["swap_true"][k])
            verdicts = tuple(
                Verdict(shown, "pick", None, "unparsed") if one == "-" else Verdict(shown, "pick", int(one) - 1)
                for shown, one in zip(((0, 1), (1, 0)), said, strict=True)
            )
            name = f"{subset}-{k}"
            edge = Edge(0, 1) if label == 1 else Edge(1, 0)
            rows.append(Judged(name, 2, Gold((edge,)), Judgment(name, verdicts=verdicts), {"subset": subset}, name))
        yield subset, line["evaluator"], line["statistics"], rows


LLM_BAR = ("llmbar/verdicts.jsonl", *(f"llmbar/Dataset/LLMBar/{subset}/dataset.json" for subset in SUBSETS))


def test_llmbar_kappa(released):
    """The right values for one evaluator in both orders; upstream prints .2517 and .2678, its labels read wrongly."""
    data = released(*LLM_BAR)
    rows = next(of for subset, who, _, of in llm_bar(data) if (subset, who) == ("Natural", "GPT-4/Vanilla_NoRules"))
    for order, expected in ((0, 0.8369), (1, 0.8977)):
        one = [Judged(r.id, 2, r.gold, Judgment(r.id, verdicts=(r.judgment.verdicts[order],))) for r in rows]
        value = measure(one, [MetricSpec("kappa", "cohen_kappa")], resamples=50)[0].value
        assert value == pytest.approx(expected, abs=5.1e-5)


def test_llmbar_statistics(data):
    """The five counts of all 325 released statistics files."""
    files = 0
    specs = [MetricSpec(name, rule) for name, rule in RULES.items()]
    for subset, evaluator, statistics, rows in llm_bar(data):
        for value in measure(rows, specs, answer_kind="verdict"):
            assert 100 * value.value == pytest.approx(percent(statistics[value.metric]), abs=1e-9), (subset, evaluator)
        files += 1
    assert files == 325


@pytest.mark.parametrize(
    "evaluator, by_subset, adversarial, overall, agreement",
    [
        ("GPT-4/Metrics_Reference", (96.0, 85.4, 89.7, 72.3, 83.7), 82.79, 85.43, 89.75),
        ("GPT-4/Vanilla_NoRules", (93.5, 64.2, 76.6, 76.6, 75.0), 73.10, 77.18, 90.63),
        ("PaLM2/Metrics_Reference", (86.5, 69.8, 77.2, 63.8, 67.4), 69.54, 72.93, 76.39),
        ("ChatGPT/Vanilla_NoRules", (79.0, 17.9, 29.3, 43.6, 37.0), 31.96, 41.37, 56.74),
    ],
)
def test_llmbar_aggregates(released, evaluator, by_subset, adversarial, overall, agreement):
    rows = [row for _, who, _, of in llm_bar(released(*LLM_BAR)) if who == evaluator for row in of]
    assert len(rows) == 419
    levels = (Level("subset"),)
    specs = [
        MetricSpec("acc", "two_order_mean", levels=levels, report=(("subset",),)),
        MetricSpec("adversarial", "two_order_mean", levels=levels, where={"subset": SUBSETS[1:]}),
        MetricSpec("agreement", "order_agreement", levels=levels),
    ]
    got = {(value.metric, value.group): 100 * value.value for value in measure(rows, specs, resamples=100)}
    assert got["acc", None] == pytest.approx(overall, abs=0.0051)
    assert got["adversarial", None] == pytest.approx(adversarial, abs=0.0051)
    assert got["agreement", None] == pytest.approx(agreement, abs=0.0051)
    for subset, expected in zip(SUBSETS, by_subset, strict=True):
        assert got["acc", f"subset={subset}"] == pytest.approx(expected, abs=0.051)
    if evaluator == "GPT-4/Metrics_Reference":
        assert got["acc", "subset=Adversarial/Neighbor"] == pytest.approx(85.44776119402985)


def rm_bench(data, sign):
    """A scorer of characters on the rows at hand: 3 chosen and 3 rejected a row, nine comparisons."""
    levels = {True: "hard", False: "easy", None: "normal"}
    edges = tuple(
        Edge(i, 3 + j, tags=(f"level={levels[None if i == j else i < j]}", f"cell={i}{j}"))
        for i in range(3)
        for j in range(3)
    )
    rows = []
    for file in ("chat", "code", "safety-refuse", "safety-response"):
        for k, row in enumerate(json.loads((data / f"rm-bench/data/{file}_filtered.json").read_text(encoding="utf-8"))):
            rewards = [sign * float(len(text)) for text in (*row["chosen"], *row["rejected"])]
            groups = {"domain": file.split("-")[0], "file": file}
            rows.append(scored(f"{file}-{k}", rewards, edges, groups))
    return rows


@pytest.mark.parametrize("sign, name", [(1, "length_chars"), (-1, "minus_length")])
def test_rm_bench_by_length(data, golden, sign, name):
    """Counts of all cells, levels, domains, and the mean of the domains that are there."""
    table = golden("rm_bench_length")[name]
    report = (("domain",), ("file",), ("level",), ("domain", "level"), ("domain", "cell"), ("file", "cell"))
    spec = MetricSpec("accuracy", "pair", levels=(Level("domain"),), report=report)
    got = by_group(measure(rm_bench(data, sign), [spec], resamples=50))
    assert got[None].n == 798
    assert 100 * got[None].value == pytest.approx(table["mean_of_three_domains_present"], abs=5.1e-5)
    for level in ("easy", "normal", "hard"):
        assert 100 * got[f"level={level}"].value == pytest.approx(table[level], abs=5.1e-5)
    for domain, expected in table["domains"].items():
        key = f"file={domain}" if "-" in domain else f"domain={domain}"
        assert got[key].n == expected["n"]
        assert 100 * got[key].value == pytest.approx(expected["avg"], abs=5.1e-5)
        counts = [[round(got[f"{key},cell={i}{j}"].value * expected["n"]) for j in range(3)] for i in range(3)]
        assert counts == expected["counts"]
        for level in ("easy", "normal", "hard"):
            if level in expected:
                assert 100 * got[f"{key},level={level}"].value == pytest.approx(expected[level], abs=5.1e-5)


def rmb(data, which):
    """A scorer of characters on all files of one set; the best answer is candidate 0."""
    root = data / "rmb/RMB_dataset" / which
    rows = []
    for path in sorted(root.rglob("*.json")):
        goal, *rest = path.relative_to(root).with_suffix("").parts
        groups = {"goal": goal, "category": f"{goal}/{rest[0]}", "file": "/".join((goal, *rest))}
        for row in json.loads(path.read_text(encoding="utf-8")):
            best, losers = (row["chosen"], [row["reject"]]) if "chosen" in row else (row["bon_best"], row["loser_list"])
            rewards = [float(len(one["answer"])) for one in (best, *losers)]
            name = row.get("pair_uid") or row["bon_uid"]
            edges = tuple(Edge(0, k + 1) for k in range(len(losers)))
            rows.append(scored(name, rewards, edges, groups, json.dumps(row["conversation_input"])))
    return rows


@pytest.mark.parametrize("which, key, rule", [("Pairwise_set", "pairwise", "pair"), ("BoN_set", "bon", "all")])
def test_rmb_by_length(data, golden, which, key, rule):
    """Micro over rows, both macros, every file, and best-of-n's chance."""
    table = golden("rmb_length")
    rows = rmb(data, which)
    report = (("goal",), ("file",))
    specs = [
        MetricSpec("micro", rule, report=report, chance="one_over_k"),
        MetricSpec("files", rule, levels=(Level("file"),), report=(("goal",),)),
        MetricSpec("categories", rule, levels=(Level("category"),), report=(("goal",),)),
    ]
    got = {(value.metric, value.group): value for value in measure(rows, specs, resamples=50)}
    for goal in ("Helpfulness", "Harmlessness", "all"):
        group, expected = None if goal == "all" else f"goal={goal}", table[key][goal]
        micro = got["micro", group]
        assert (micro.n, round(micro.value * micro.n)) == (expected["n"], expected["correct"])
        assert micro.interval == "wilson-cr2"
        assert micro.value == pytest.approx(expected["micro"], abs=5.1e-7)
        assert got["files", group].value == pytest.approx(expected["macro_over_scenario_files"], abs=5.1e-7)
        assert got["categories", group].value == pytest.approx(expected["macro_over_categories"], abs=5.1e-7)
        if "chance" in expected:
            assert micro.chance == pytest.approx(expected["chance"], abs=5.1e-7)
    for file, expected in table["files"][key].items():
        value = got["micro", f"file={file}"]
        assert (value.n, round(value.value * value.n)) == (expected["n"], expected["correct"])


def test_rmb_mean_of_four(golden):
    table = golden("rmb_length")
    four = [table[key][goal]["micro"] for key in ("pairwise", "bon") for goal in ("Helpfulness", "Harmlessness")]
    assert sum(four) / 4 == pytest.approx(table["mean_of_four_micro"], abs=1e-6)


def test_rmb_released_scores(data):
    """ArmoRM on 849 pairs: 675 right, 12 ties wrong; .802120 were ties half right."""
    path = data / "rmb/eval/result/ArmoRM-Llama3-8B-v0.1_result.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    rows = [scored(row["pair_uid"], (row["chosen_reward"], row["reject_reward"])) for row in table]
    strict, half = measure(rows, [MetricSpec("strict", "pair"), MetricSpec("half", "pair", tie=0.5)])
    assert (strict.n, round(strict.value * 849)) == (849, 675)
    assert strict.value == pytest.approx(0.795053, abs=5e-7)
    assert half.value == pytest.approx(0.802120, abs=5e-7)


MATH_PRM = (
    *("ArmoRM", "Eurus-RM", "GRM-Llama3-8B", "GRM_Gemma_2B", "Skywork-Llama-3.1-8B", "beaver"),
    *("internlm2", "internlm2-20b", "oasst-rm"),
)


@pytest.mark.parametrize("model", MATH_PRM)
def test_reward_bench_math_prm(released, golden, model):
    """Nine reward models on the 447 pairs, strict."""
    table, name = golden("reward_bench_math_prm"), f"reward-bench/math-prm-scores/{model}.jsonl"
    assert set(table) == set(MATH_PRM)
    rows = [scored(line["id"], line["scores"]) for line in lines(released(name) / name)]
    got, expected = measure(rows, [MetricSpec("accuracy", "pair")])[0], table[model]
    assert (got.n, round(got.value * got.n)) == (expected["n"], expected["correct_strict"])
    assert 100 * got.value == pytest.approx(expected["acc_strict"], abs=5e-4)
