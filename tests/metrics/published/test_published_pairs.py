"""Pairs with human ties: what real judges and scorers released, against what their benchmarks print."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.measure import measure
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Verdict
from tests._make import read_lines as lines


def overall(rows, rule, **fields):
    return measure(rows, [MetricSpec("m", rule, **fields)], resamples=50)[0]


def edge_of(label, tie=2):
    """0 the first is better, 1 the second, `tie` neither."""
    return Edge(0, 1, 0.0) if label == tie else Edge(label, 1 - label)


AUTOJ_GROUPS = {
    "Summarization": "post_summarization text_summarization note_summarization",
    "Exam Questions": "math_reasoning solving_exam_question_with_math solving_exam_question_without_math",
    "Code": "code_simplification code_generation explaining_code code_correction_rewriting code_to_code_translation",
    "Rewriting": "text_simplification language_polishing instructional_rewriting text_correction paraphrasing",
    "Creative Writing": "writing_song_lyrics writing_social_media_post writing_blog_post writing_personal_essay "
    "creative_writing writing_advertisement writing_marketing_materials writing_presentation_script counterfactual",
    "Functional Writing": "writing_product_description writing_job_application writing_news_article writing_biography "
    "writing_email writing_legal_document writing_technical_document writing_scientific_paper functional_writing "
    "writing_cooking_recipe",
    "General Communication": "asking_how_to_question open_question analyzing_general explaining_general seeking_advice "
    "recommendation value_judgement verifying_fact chitchat roleplay planning brainstorming",
    "NLP Tasks": "ranking text_to_text_translation data_analysis classification_identification title_generation "
    "question_generation reading_comprehension keywords_extraction information_extraction topic_modeling others",
}
AUTOJ = {
    # single agreement, two-order agreement, consistency: upstream's two tables, in percent
    "Summarization": (56.94, 45.83, 73.61),
    "Exam Questions": (41.67, 38.89, 69.44),
    "Code": (54.17, 47.5, 75.83),
    "Rewriting": (57.5, 49.17, 74.17),
    "Creative Writing": (63.43, 59.72, 87.04),
    "Functional Writing": (68.33, 61.67, 81.67),
    "General Communication": (57.29, 55.21, 92.36),
    "NLP Tasks": (62.12, 57.58, 86.36),
    None: (59.99, 54.96, 83.41),
}


def auto_j(data):
    """Auto-J 13B's own verdicts; the exchange file is judged with swapped responses and not mapped back."""
    group_of = {scenario: group for group, names in AUTOJ_GROUPS.items() for scenario in names.split()}
    rows = lines(data / "autoj/data/test/testdata_pairwise.jsonl")
    outputs = [
        [line["output"] for line in lines(data / f"autoj/data/outputs/{name}_example_output.jsonl")]
        for name in ("pairwise", "pairwise_exchange")
    ]
    out = []
    for k, (row, *said) in enumerate(zip(rows, *outputs, strict=True)):
        verdicts = tuple(
            Verdict(shown, "pick", TIE if one == 2 else shown[one])
            for shown, one in zip(((0, 1), (1, 0)), said, strict=True)
        )
        groups = {"group": group_of[row["scenario"]]}
        lengths = tuple(float(len(row[f"response {i}"])) for i in (1, 2))
        judged = Judged(str(k), 2, Gold((edge_of(row["label"]),)), Judgment(str(k), verdicts=verdicts), groups)
        out.append((judged, lengths))
    return [row for row, _ in out], [lengths for _, lengths in out]


def test_autoj(data):
    rows, _ = auto_j(data)
    rules = ("agreement", "two_order_agreement", "order_consistency")
    specs = [MetricSpec(rule, rule, report=(("group",),)) for rule in rules]
    got = {(value.metric, value.group): value for value in measure(rows, specs, answer_kind="verdict")}
    for group, expected in AUTOJ.items():
        label = group if group is None else f"group={group}"
        for rule, percent in zip(rules, expected, strict=True):
            assert round(100 * got[rule, label].value, 2) == pytest.approx(percent), (group, rule)
    counts = {rule: round(got[rule, None].value * 1392) for rule in rules}
    assert counts == {"agreement": 835, "two_order_agreement": 765, "order_consistency": 1161}
    assert {got[rule, None].n for rule in rules} == {1392}


def test_autoj_swapped_order_and_rows_without_ties(data):
    rows, _ = auto_j(data)

    def only(order):
        return [Judged(r.id, 2, r.gold, Judgment(r.id, verdicts=(r.judgment.verdicts[order],)), r.groups) for r in rows]

    assert round(overall(only(0), "agreement").value * 1392) == 835
    assert round(overall(only(1), "agreement").value * 1392) == 844
    decided = [overall(only(order), "pair") for order in (0, 1)]
    assert [round(value.value * 1019) for value in decided] == [804, 812]
    assert {value.n for value in decided} == {1019}
    assert round(overall(rows, "both_orders").value * 1019) == 746


def test_autoj_always_longer(data):
    rows, lengths = auto_j(data)
    longer = [Judged(r.id, 2, r.gold, Judgment(r.id, rewards=of)) for r, of in zip(rows, lengths, strict=True)]
    assert round(overall(longer, "agreement").value * 1392) == 737
    assert round(overall(longer, "two_order_agreement").value * 1392) == 737
    assert round(overall(longer, "pair").value * 1019) == 727


PANDA_LM, PANDA_LM_7B = "pandalm/data/testset-v1.json", "pandalm/data/pandalm-7b-testset-v1.json"


def panda_lm(data, said=None):
    """Rows with three annotators; `said` maps idx to a verdict, or the longer response is better."""
    rows = []
    for row in json.loads((data / PANDA_LM).read_text(encoding="utf-8")):
        # 0 is a tie, 1 and 2 name the response.
        labels = {name: int(row[name]) for name in ("annotator1", "annotator2", "annotator3")}
        edges = tuple(
            Edge(0, 1, 0.0, annotator=name) if of == 0 else Edge(of - 1, 2 - of, annotator=name)
            for name, of in labels.items()
        )
        name = str(row["idx"])
        if said is None:
            judgment = Judgment(name, rewards=tuple(float(len(str(row[f"response{k}"]))) for k in (1, 2)))
        else:
            value = said[row["idx"]]
            picked = None if value is None else TIE if value == 0 else value - 1
            judgment = Judgment(
                name, verdicts=(Verdict((0, 1), "pick", picked, "unparsed" if value is None else "ok"),)
            )
        rows.append(Judged(name, 2, Gold(edges), judgment))
    return rows


def panda_lm_7b(data):
    rows = json.loads((data / PANDA_LM_7B).read_text(encoding="utf-8"))
    return {row["idx"]: row["pandalm_result"] for row in rows}


def gpt_35(data, garbage):
    rows = json.loads((data / "pandalm/data/gpt-3.5-turbo-testset-v1.json").read_text(encoding="utf-8"))
    return {row["idx"]: {"1": 1, "2": 2, "Tie": 0, "garbage": garbage}[row["gpt_result"]] for row in rows}


MACRO = ("agreement", "macro_precision", "macro_recall", "macro_f1", "pair")


def panda_figures(rows):
    specs = [MetricSpec(rule, rule, annotator="majority") for rule in MACRO]
    return [value.value for value in measure(rows, specs, answer_kind="verdict", resamples=50)]


def test_pandalm_7b(released):
    data = released(PANDA_LM, PANDA_LM_7B)
    got = panda_figures(panda_lm(data, panda_lm_7b(data)))
    assert got == pytest.approx([0.6677, 0.5738, 0.5750, 0.5743, 0.7103], abs=5.1e-5)
    assert round(got[0] * 999) == 667


def test_pandalm_gpt_35(data):
    got = panda_figures(panda_lm(data, gpt_35(data, None)))
    assert got == pytest.approx([0.6977, 0.5365, 0.5324, 0.5274, 0.7740], abs=6e-5)
    assert (round(got[0] * 999), round(got[4] * 894)) == (697, 692)
    got = panda_figures(panda_lm(data, gpt_35(data, 0)))
    assert (got[0], got[3]) == pytest.approx((0.7107, 0.5755), abs=5.1e-5)


def test_pandalm_longer(data):
    rows = panda_lm(data)
    assert round(overall(rows, "agreement", annotator="majority").value * 999) == 610
    decided = overall(rows, "pair", annotator="majority")
    assert (decided.n, round(decided.value * 894)) == (894, 599)


def test_pandalm_annotators(released):
    data = released(PANDA_LM, PANDA_LM_7B)
    rows = panda_lm(data, panda_lm_7b(data))
    # One annotator as the model, another as the gold: their raw agreement.
    for a, b, expected, kappa in ((1, 2, 0.9129, 0.8520), (1, 3, 0.9289, 0.8789), (2, 3, 0.9179, 0.8617)):
        labels = {row.id: next(e for e in row.gold.relation if e.annotator == f"annotator{a}") for row in rows}
        said = [
            Judged(
                row.id,
                2,
                row.gold,
                Judgment(
                    row.id, verdicts=(Verdict((0, 1), "pick", labels[row.id].i if labels[row.id].strength else TIE),)
                ),
            )
            for row in rows
        ]
        assert overall(said, "agreement", annotator=f"annotator{b}").value == pytest.approx(expected, abs=5.1e-5)
        assert overall(said, "cohen_kappa", annotator=f"annotator{b}").value == pytest.approx(kappa, abs=5.1e-5)


GENAI = {
    # image, edition, video: exact, decisive, three classes (percent), and how many were unreadable
    "gpt4o": ((45.59, 53.54, 48.46), (55.44, 72.17, 68.86), (47.95, 53.97, 49.77), (11, 0, 0)),
    "gemini-1.5-pro": ((44.67, 55.93, 46.21), (56.20, 65.21, 68.86), (45.76, 56.80, 46.77), (48, 0, 1)),
    "llava": ((37.00, 26.12, 30.40), (49.16, 47.71, 46.43), (37.00, 26.12, 30.40), (1, 0, 0)),
    "random": ((25.36, 25.90, 25.16), (26.26, 25.25, 25.43), (32.33, 37.00, 33.30), (0, 0, 0)),
}
GENAI_RIGHT = {"gpt4o": (791, 492, 518), "gemini-1.5-pro": (775, 514, 494), "llava": (642, 240, 325)}
GENAI_TASKS = {"image_generation": 1306, "image_edition": 503, "video_generation": 700}  # and the votes without ties
VOTES = {
    "leftvote": Edge(0, 1),
    "rightvote": Edge(1, 0),
    "tievote": Edge(0, 1, 0.0, tags=("tie=good",)),
    "bothbad_vote": Edge(0, 1, 0.0, tags=("tie=bad",)),
}
LABELS = {f"[[{label}]]": label for label in ("A>B", "A>>B", "B>A", "B>>A", "A=B", "A=B=Good", "A=B=Bad")}


@pytest.mark.parametrize("judge", GENAI)
@pytest.mark.parametrize("task", GENAI_TASKS)
def test_genai_bench(released, judge, task):
    k = list(GENAI_TASKS).index(task)
    *expected, unread = (figures[k] for figures in GENAI[judge])
    name = f"genai-bench/results/{task}/{judge}/pairwise.jsonl"
    answers = lines(released(name) / name)
    assert sum(line["model_vote"] is None for line in answers) == unread
    rows = []
    for n, line in enumerate(answers):
        # A vote that holds two labels is none of them, and wrong.
        value = LABELS.get(line["model_vote"])
        verdict = Verdict((0, 1), "label", value, "unparsed" if value is None else "ok")
        edges = (VOTES[line["human_vote"]],)
        rows.append(Judged(str(n), 2, Gold(edges), Judgment(str(n), verdicts=(verdict,))))
    values = [overall(rows, rule) for rule in ("tie_kind_agreement", "pair", "agreement")]
    assert [100 * value.value for value in values] == pytest.approx(expected, abs=0.0051)
    assert [value.n for value in values] == [len(rows), GENAI_TASKS[task], len(rows)]
    if judge in GENAI_RIGHT:
        assert round(values[0].value * len(rows)) == GENAI_RIGHT[judge][k]


PICK = {
    # credit accuracy, right without ties, tau-b of label sign and difference
    "validation_HPSv2score_eval_0.00": (0.6390, 282, 0.2937),
    "validation_ImageReward_eval_0.00": (0.6190, 272, 0.2576),
    "validation_blipscore_eval_0.00": (0.5970, 261, 0.2227),
    "validation_clipscore_eval_0.00": (0.6040, 264, 0.2320),
    "validation_clipscore_eval_v2_0.00": (0.6150, 270, 0.2466),
    "validation_pickscore_eval_0.00": (0.7130, 319, 0.3926),
}
PICK_WIDTHS = {0.0: 0.713, 0.1: 0.715, 0.2: 0.702, 0.3: 0.700, 0.4: 0.686, 0.5: 0.669, 1.0: 0.575}


def pick_a_pic(released, name):
    rows, file = [], f"mj-bench/reward_models/result/{name}.json"
    table = json.loads((released(file) / file).read_text(encoding="utf-8"))
    for k, row in enumerate(table):
        edge = Edge(0, 1, 0.0) if row["label"] == "tie" else edge_of(int(row["label"]))
        # PickScore's are probabilities.
        kind = "prob" if "prob_0" in row else "score"
        rewards = (float(row[f"{kind}_0"]), float(row[f"{kind}_1"]))
        rows.append(Judged(str(k), 2, Gold((edge,)), Judgment(str(k), rewards=rewards)))
    return rows


@pytest.mark.parametrize("name", PICK)
def test_pick_a_pic_validation(released, name):
    rows = pick_a_pic(released, name)
    accuracy, right, tau = PICK[name]
    assert Counter(row.gold.relation[0].strength and row.gold.relation[0].i for row in rows) == {0: 238 + 75, 1: 187}
    assert overall(rows, "agreement", tie=0.5, human_tie=0.5).value == pytest.approx(accuracy, abs=1e-9)
    assert round(overall(rows, "pair").value * 425) == right
    assert overall(rows, "delta_kendall_b").value == pytest.approx(tau, abs=5.1e-5)


def test_pick_a_pic_by_threshold(released):
    """A tie is a difference of probabilities of at most t."""
    rows = pick_a_pic(released, "validation_pickscore_eval_0.00")
    for width, expected in PICK_WIDTHS.items():
        value = overall(rows, "agreement", tie=0.5, human_tie=0.5, tie_within=width).value
        assert value == pytest.approx(expected, abs=1e-9), width


MJ = {
    # right of human 100, mpii 220, object_indoor 100, blur 350
    "hps_v2.1": (98, 165, 98, 346),
    "pickscore_v1": (95, 175, 99, 334),
    "aesthetics": (96, 188, 76, 340),
    "ImageReward": (67, 149, 66, 325),
    "clipscore_v2": (60, 78, 78, 289),
    "blipscore": (29, 71, 22, 210),
}
MJ_DISTORTION = {
    "hps_v2.1": 0.9033,
    "pickscore_v1": 0.9118,
    "aesthetics": 0.8582,
    "ImageReward": 0.6691,
    "clipscore_v2": 0.5782,
    "blipscore": 0.2776,
}
MJ_MICRO = dict(zip(MJ, (0.9182, 0.9130, 0.9091, 0.7883, 0.6558, 0.4312), strict=True))
MJ_SUBSETS = ("human", "mpii", "object_indoor", "blur")


@pytest.mark.parametrize("scorer", MJ)
def test_mj_bench_quality(released, scorer):
    rows = []
    for subset in MJ_SUBSETS:
        file = f"mj-bench/personal/result/{scorer}/{subset}0.0.json"
        for k, row in enumerate(json.loads((released(file) / file).read_text(encoding="utf-8"))):
            name = f"{subset}/{k}"
            rewards = (float(row["score_0"]), float(row["score_1"]))
            gold = Gold((edge_of(int(row["label"])),))
            rows.append(Judged(name, 2, gold, Judgment(name, rewards=rewards), {"subset": subset}))
    distortion = {"subset": MJ_SUBSETS[:3]}
    specs = [
        MetricSpec("accuracy", "pair", report=(("subset",),)),
        MetricSpec("distortion", "pair", levels=(Level("subset"),), where=distortion),
    ]
    got = {(value.metric, value.group): value for value in measure(rows, specs, resamples=50)}
    right = [round(got["accuracy", f"subset={s}"].value * got["accuracy", f"subset={s}"].n) for s in MJ_SUBSETS]
    assert tuple(right) == MJ[scorer]
    assert got["accuracy", None].value == pytest.approx(MJ_MICRO[scorer], abs=5.1e-5)
    assert got["distortion", None].value == pytest.approx(MJ_DISTORTION[scorer], abs=5.1e-5)
