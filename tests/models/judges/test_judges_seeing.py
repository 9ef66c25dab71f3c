"""Judges that are shown images and videos: what is sent, in which order, and what fails a row."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.media import MediaError, Medium, open_image, pixels_of
from rmbench.models.judges.declaration import load_protocol, protocol_names
from rmbench.models.judges.local.open import _options
from rmbench.models.judges.media import MediaMarks, split_at_marks
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.prompt import Prompt, PromptError
from rmbench.models.judges.verdict import VerdictParser
from rmbench.types import TIE, Candidate, Edge, Example, Gold, Message, Part

SEEING = [name for name in protocol_names() if load_protocol(name).media is not None]
IN_ONE_MESSAGE = [name for name in SEEING if load_protocol(name).turns == 1]
OF_CANDIDATES = [name for name in SEEING if getattr(load_protocol(name).media, "of", "") == "candidates"]
OURS = ("vision-pair", "vision-profile")


def png(folder: Path, name: str, colour: tuple[int, int, int], size: tuple[int, int] = (40, 20)) -> Part:
    Image.new("RGB", size, colour).save(folder / name)
    return Part("image", name=name, path=str(folder / name))


def gif(folder: Path, name: str, frames: int = 10) -> Part:
    """An animation whose frame k is grey of value 20 k."""
    images = [Image.new("L", (32, 32), 20 * k) for k in range(frames)]
    images[0].save(folder / name, save_all=True, append_images=images[1:], duration=100)
    return Part("video", name=name, path=str(folder / name))


def row(prompt: list[Part], *answers: list[Part], **context: str) -> Example:
    candidates = tuple(Candidate((Message("assistant", tuple(parts)),)) for parts in answers)
    return Example("r", (Message("user", tuple(prompt)),), candidates, Gold((Edge(0, 1),)), context=context)


def text(said: str) -> Part:
    return Part(text=said)


def pixels(part: Any) -> Image.Image:
    """The picture of an image part, decoded."""
    head, _, encoded = part["image_url"]["url"].partition(";base64,")
    assert head in ("data:image/png", "data:image/jpeg")
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def layout(messages: Any) -> list[str]:
    """The parts of the last message: texts, and the grey or red value of a picture's first pixel."""
    content = messages[-1]["content"]
    if isinstance(content, str):
        return [content]
    return [
        part["text"] if part["type"] == "text" else f"<{pixels(part).convert('RGB').tobytes()[0]}>" for part in content
    ]


def seen(name: str, folder: Path) -> Example:
    """A row that fits a protocol: two red pictures, or videos, where it shows any."""
    declared = load_protocol(name).media
    assert declared is not None
    one, two, three = (
        png(folder, f"{k}.png", (k, 0, 0)) if "image" in declared.kinds else gif(folder, f"{k}.gif", 3)
        for k in (50, 100, 150)
    )
    if declared.of == "candidates":
        return row([text("QUESTION")], [two], [three])
    return row([text("QUESTION"), one], [text("FIRST")], [text("SECOND")])


class TestWhatIsSent:
    @pytest.mark.parametrize("name", IN_ONE_MESSAGE)
    def test_every_medium_of_the_row_is_shown_once_and_in_order(self, name: str, tmp_path: Path) -> None:
        protocol = load_protocol(name)
        shown = (1, 0)[: protocol.most]
        messages = Prompt.of(protocol).messages(seen(name, tmp_path), shown)
        assert messages[-1]["role"] == "user"
        parts = layout(messages)
        whole = "".join(parts)
        assert whole.count("QUESTION") == 1
        pictures = [part for part in parts if part[0] == "<" and part[1:-1].isdecimal()]
        if protocol.media is not None and protocol.media.of == "candidates":
            if "image" in protocol.media.kinds:
                assert len(pictures) == protocol.most
                near = [int(part[1:-1]) for part in pictures]  # JPEG moves a value by one or two
                assert near == pytest.approx([150, 100][: protocol.most], abs=3)
        else:
            assert len(pictures) == 1
            assert "SECOND" in whole
            assert ("FIRST" in whole) == (protocol.most == 2)
            if protocol.most == 2:
                assert whole.index("SECOND") < whole.index("FIRST")
        assert "wording ours" in protocol.follows or name in OURS
        assert not any(mark in whole for mark in ("{{", "{%", "None", "\0"))
        assert name in OURS or "prompt=FILE" in " ".join(protocol.notes)

    def test_text_or_image_first_as_declared(self, tmp_path: Path) -> None:
        image = png(tmp_path, "a.png", (7, 0, 0))
        example = row([text("Q"), image], [text("a")], [text("b")])
        for name, first in (("vl-rewardbench", False), ("multimodal-rewardbench", False), ("llava-critic", True)):
            parts = layout(Prompt.of(load_protocol(name)).messages(example, (0, 1)))
            assert parts.index("<7>") == (0 if first else len(parts) - 1), name
            assert len(parts) == 2

    def test_media_stay_between_the_texts_that_they_stand_between(self, tmp_path: Path) -> None:
        a, b, c = (png(tmp_path, f"{k}.png", (k, 0, 0)) for k in (1, 2, 3))
        example = row([text("before "), a, text(" after")], [text("x "), b, text(" y "), c], [c, text("z")])
        parts = layout(Prompt.of(load_protocol("mmrb2")).messages(example, (0, 1)))
        assert [part.strip().splitlines()[-1] if part[0] != "<" else part for part in parts[:-1]] == [
            "before", "<1>", "x", "<2>", "y", "<3>", "[RESPONSE B:]", "<3>",
        ]  # fmt: skip
        assert "[RESPONSE A:]\nx" in parts[2]

    def test_a_source_image_stands_before_the_two_edits(self, tmp_path: Path) -> None:
        a, b, c = (png(tmp_path, f"{k}.png", (k, 0, 0)) for k in (50, 100, 150))
        for name in ("genai-bench", "editreward", "unified-reward-edit"):
            parts = layout(Prompt.of(load_protocol(name)).messages(row([text("Add a hat"), a], [b], [c]), (1, 0)))
            found = [int(part[1:-1]) for part in parts if part[0] == "<"]
            assert found == pytest.approx([50, 150, 100], abs=3), name  # JPEG moves a value by one or two

    def test_pixels_are_exact_upright_rgb_and_capped(self, tmp_path: Path, judges: SimpleNamespace) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "n.webp", lossless=True)
        part = Part("image", name="n.webp", path=str(tmp_path / "n.webp"))
        turned = Image.new("RGB", (40, 20), (9, 9, 9))
        exif = turned.getexif()
        exif[0x0112] = 6
        turned.save(tmp_path / "t.png", exif=exif)
        upright = Part("image", name="t.png", path=str(tmp_path / "t.png"))
        example = row([text("Q"), part, upright], [text("a")], [text("b")])

        def sent(**args: str) -> list[Image.Image]:
            judge = judges.judge(lambda question: "[[A]]", "vision-pair", **args)
            content = next(judge.questions("t", example)).messages[-1]["content"]
            return [pixels(part) for part in content if part["type"] != "text"]

        exact, second = sent()
        assert (exact.format, exact.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(exact), noise)
        assert second.size == (20, 40)
        lossy, _ = sent(transport="jpeg95")
        assert lossy.format == "JPEG"
        wanted = io.BytesIO()
        open_image(tmp_path / "n.webp").save(wanted, "JPEG", quality=95)
        assert lossy.tobytes() == Image.open(wanted).tobytes()
        small, _ = sent(max_pixels="375")
        assert small.size == (25, 15)

    def test_frames_of_a_video_by_the_declared_rule(self, tmp_path: Path, judges: SimpleNamespace) -> None:
        clip = gif(tmp_path, "c.gif")
        example = row([text("Q"), clip], [text("a")], [text("b")])

        def frames(protocol: str, **args: str) -> list[str]:
            judge = judges.judge(lambda question: "[[A]]", protocol, **args)
            return [part for part in layout(next(judge.questions("t", example)).messages) if part[0] == "<"][:99]

        def values(*indices: int) -> list[str]:
            return [f"<{20 * k}>" for k in indices]

        found = frames("vision-pair", frames="uniform:4")
        assert [part for part in found if part[1:-1].isdecimal()] == values(0, 3, 6, 9)
        every = [part for part in frames("videorewardbench") if part[1:-1].isdecimal()]
        assert every == values(*range(10))
        strided = [part for part in frames("vision-pair", frames="stride:3") if part[1:-1].isdecimal()]
        assert strided == values(0, 3, 6)
        settings = judges.judge(lambda question: "", "vision-pair", frames="stride:3").facts.settings
        wanted = {"transport": "png", "frames": "stride:3", "max_pixels": 2**22, "frame_pixels": 602_112}
        assert wanted.items() <= settings.items()

    def test_a_picture_is_encoded_once_for_both_orders(
        self, tmp_path: Path, judges: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []

        def counted(medium: Medium, fit: Any) -> list[Image.Image]:
            opened.append(medium.path)
            return pixels_of(medium, fit)

        monkeypatch.setattr("rmbench.models.judges.media.pixels_of", counted)
        judge = judges.judge(lambda question: "[[A]]", "vision-pair", votes="3", temperature="1")
        image = png(tmp_path, "a.png", (1, 1, 1))
        judge.judge("t", row([text("Q"), image], [text("a")], [text("b")]))
        assert len(judge.backend.asked) == 6
        assert len(opened) == 1
        estimate = judge.estimate([row([text("Q"), image], [text("a")], [text("b")])])
        assert (estimate.calls, estimate.media) == (6, 6)
        assert " prompt tokens and 6 images or videos, at most" in str(estimate)
        assert len(opened) == 1

    def test_no_path_and_no_address_leaves(self, tmp_path: Path, judges: SimpleNamespace) -> None:
        image = png(tmp_path, "secret-name.png", (1, 1, 1))
        judge = judges.judge(lambda question: "[[A]]", "vision-pair")
        judge.judge("t", row([text("Q"), image], [text("a")], [text("b")]))
        assert "secret-name" not in str(judge.backend.asked)
        assert str(tmp_path) not in str(judge.backend.asked)


class TestLiteralMarks:
    LITERAL = (
        "<|image_pad|> <|video_pad|> <|vision_start|> <|vision_end|> <image> <video> <IMG_CONTEXT> <|Reward|> [IMG] "
        "<image_soft_token> <row_1_col_2> <|IMAGE_PAD|>"
    ).split()

    @pytest.mark.parametrize("mark", LITERAL)
    @pytest.mark.parametrize("name", ["vision-pair", "vl-rewardbench", "unified-reward-answers"])
    def test_a_vision_mark_in_a_text_is_quoted(self, name: str, mark: str, tmp_path: Path) -> None:
        image = png(tmp_path, "a.png", (7, 0, 0))
        prompt = Prompt.of(load_protocol(name))
        for example in (
            row([text(f"What {mark}?"), image], [text("a")], [text("b")]),
            row([text("What?"), image], [text(f"a {mark} b")], [text("b")]),
        ):
            whole = "".join(layout(prompt.messages(example, (0, 1))))
            assert mark.lower() not in whole.lower()
            assert f"{mark[0]}~{mark[1:]}" in whole
        assert prompt.quoting.unquote(prompt.quoting.quote(f"x{mark}y")) == f"x{mark}y"

    def test_what_stands_for_a_medium_cannot_be_forged(self, tmp_path: Path) -> None:
        image = png(tmp_path, "a.png", (7, 0, 0))
        forged = "\0" + "0" * 32 + ":0\0"
        parts = layout(
            Prompt.of(load_protocol("vl-rewardbench")).messages(
                row([text("Q"), image], [text(forged)], [text("b")]), (0, 1)
            )
        )
        assert parts.count("<7>") == 1
        assert forged in parts[0]
        marks = MediaMarks()
        rendered = f"a\n\n{marks.mark(image)}\n{marks.mark(image)} b {marks.mark(image)}"
        assert split_at_marks(rendered, marks) == ["a", image, image, " b ", image]

    def test_text_protocols_leave_code_with_such_tags_alone(self) -> None:
        example = row([text("Q")], [text("<video>")], [text("b")])
        assert "<video>" in str(Prompt.of(load_protocol("pair")).messages(example, (0, 1)))


class TestRowsThatCannotBeShown:
    def test_hostile_and_broken_media_fail_their_row_alone(self, tmp_path: Path, judges: SimpleNamespace) -> None:
        good = png(tmp_path, "good.png", (7, 0, 0))
        (tmp_path / "text.png").write_text("no image")
        (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 50)
        (tmp_path / "drawn.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
        Image.new("1", (15_000, 15_000)).save(tmp_path / "bomb.png")
        Image.new("1", (2_100, 20)).save(tmp_path / "long.png")
        (tmp_path / "empty.png").write_bytes(b"")
        table = {
            "text.png": "it is no image",
            "cut.jpg": "cut.jpg",
            "drawn.svg": "it is no image",
            "page.eps": "it is no image",
            "bomb.png": "pixels are more than",
            "long.png": "longer than 100 times",
            "empty.png": "is empty",
            "gone.png": "gone.png",
        }
        judge = judges.judge(lambda question: "[[A]]", "vision-pair")
        for name, why in table.items():
            bad = Part("image", name=name, path=str(tmp_path / name))
            found = judge.judge("t", row([text("Q"), good, bad], [text("a")], [text("b")]))
            assert (found.status, found.verdicts, found.remarks) == ("failed", (), ("media_rejected",)), name
            assert found.error.startswith("media_rejected: "), name
            assert why in found.error, name
        for name in ("http://127.0.0.1:9/x.png", "/etc/passwd", "../x.png"):
            found = judge.judge("t", row([text("Q"), Part("image", name=name)], [text("a")], [text("b")]))
            how = ", and addresses are fetched with --allow-url-fetch alone" if name.startswith("http:") else ""
            assert found.error == f"media_rejected: image {name} is not here{how}"
        broken = Part("video", name="text.png", path=str(tmp_path / "text.png"))
        found = judge.judge("t", row([text("Q"), broken], [text("a")], [text("b")]))
        assert found.error.startswith("media_rejected: text.png")
        assert judge.backend.asked == []
        assert judge.judge("t", row([text("Q"), good], [text("a")], [text("b")])).status == "ok"

    def test_kinds_counts_and_places_that_a_protocol_does_not_show(
        self, tmp_path: Path, judges: SimpleNamespace
    ) -> None:
        image, clip = png(tmp_path, "a.png", (7, 0, 0)), gif(tmp_path, "c.gif")

        def why(example: Example, protocol: str, **args: str) -> str:
            return str(judges.judge(lambda question: "", protocol, **args).judge("t", example).error)

        answers = [text("a")], [text("b")]
        assert "it is a video, and the protocol shows images" in why(row([text("Q"), clip], *answers), "llava-critic")
        assert "c.gif: 10 frames are more than max_images=8" in why(
            row([text("Q"), clip], *answers), "vision-pair", frames="uniform:64", max_images="8"
        )
        assert "12 images and frames in one question are more than max_images=11" in why(
            row([text("Q"), clip], [image], [image]), "vision-pair", frames="uniform:64", max_images="11"
        )
        assert "shows an image or a video of the prompt" in why(row([text("Q")], *answers), "vl-rewardbench")
        assert "compares images or videos" in why(row([text("Q")], [image], [text("b")]), "unified-reward")
        assert "does not show the image a.png" in why(row([text("Q"), image], [image], [image]), "mj-bench")

    def test_settings_go_with_protocols_that_show_images(self, judges: SimpleNamespace) -> None:
        for args, message in (
            ({"transport": "png"}, "protocol pair shows no images"),
            ({"protocol": "vision-pair", "transport": "gif"}, "expected png, or jpeg with a quality"),
            ({"protocol": "vision-pair", "transport": "jpeg101"}, "expected png, or jpeg with a quality"),
            ({"protocol": "vision-pair", "frames": "uniformly:3"}, 'Did you mean "uniform"'),
            ({"protocol": "vision-pair", "max_images": "0"}, "max_images"),
        ):
            with pytest.raises(RmbenchError) as caught:
                judges.judge(lambda question: "", **args)
            assert message in str(caught.value)
        with pytest.raises(RmbenchError, match="this one shows images"):
            _options(load_protocol("vision-pair"))
        prints = {
            judges.judge(lambda question: "", "vision-pair", **args).facts.fingerprint
            for args in ({}, {"transport": "jpeg95"}, {"max_pixels": "9"}, {"frames": "first:2"}, {"max_images": "3"})
        }
        assert len(prints) == 5

    def test_which_tasks_a_judge_takes(self, judges: SimpleNamespace) -> None:
        taken = {
            "pair": {"text"},
            "vision-pair": {"text", "image", "video"},
            "vl-rewardbench": {"text", "image"},
            "genai-bench": {"image", "video"},
            "unified-reward-video": {"video"},
        }
        for name, kinds in taken.items():
            assert judges.judge(lambda question: "", name).facts.modalities == kinds


class TestVerdicts:
    def test_classes_of_generated_images(self, judges: SimpleNamespace, tmp_path: Path) -> None:
        example = seen("genai-bench", tmp_path)
        judge = judges.judge(lambda question: "Both are poor.\n[[A=B=Bad]]", "genai-bench")
        found = judge.judge("t", example)
        assert [(v.kind, v.value, v.shown) for v in found.verdicts] == [("label", "A=B=Bad", (0, 1))]
        assert [question.shown for question in judge.backend.asked] == [(0, 1)]
        swapped = judges.judge(lambda question: "[[A>B]]", "genai-bench", orders="both").judge("t", example)
        assert [(v.value, v.shown) for v in swapped.verdicts] == [("A>B", (0, 1)), ("A>B", (1, 0))]
        reader = VerdictParser.of(load_protocol("genai-bench"))
        for said in ("[[A>B]] or [[B>A]]", "[[A]]", "A>B", "[[A=B=Fair]]"):
            assert reader.parse(said, "stop", 2).status == "unparsed", said

    def test_the_choice_counts_where_ratings_contradict_it(self) -> None:
        reader = VerdictParser.of(load_protocol("mj-bench"))
        said = "IMAGE-1 RATING: 9\nIMAGE-2 RATING: 3\nBETTER IMAGE: 2\nANALYSIS OF CHOICE: the second is sharper"
        assert reader.parse(said, "stop", 2).value == 1
        assert reader.parse(said.replace(": 2\n", ": 0\n"), "stop", 2).value == TIE
        assert reader.parse(said.replace("BETTER IMAGE: 2\n", ""), "stop", 2).status == "unparsed"
        single = VerdictParser.of(load_protocol("mj-bench-single-words"))
        assert single.parse('So: {"ANALYSIS": "x"} {"RATING": "Very Good"}.', "stop", 1).value == 8.0
        assert single.parse('{"RATING": "Superb"}', "stop", 1).status == "unparsed"

    def test_an_output_that_names_both_is_no_verdict(self) -> None:
        for name, noun in (("unified-reward", "Image"), ("unified-reward-answers", "Answer")):
            reader = VerdictParser.of(load_protocol(name))
            both = f"{noun} 1 is better than {noun} 2, but {noun} 2 is better than {noun} 1."
            assert reader.parse(both, "stop", 2).status == "unparsed"
            assert reader.parse(f"{noun} 2 is better.", "stop", 2).value == 1
        think = VerdictParser.of(load_protocol("unified-reward-think"))
        said = (
            "<think>Image 1 is better? <answer>Image 1 is better</answer></think>\n<answer>Image 2 is better</answer>"
        )
        assert think.parse(said, "stop", 2).value == 1
        assert think.parse("<think><answer>Image 1 is better</answer>", "stop", 2).status == "unparsed"

    def test_vl_rewardbench_by_upstreams_rule_and_by_ours(self) -> None:
        upstream, reader = PARSERS["vl-rewardbench"], VerdictParser.of(load_protocol("vl-rewardbench"))
        for said, theirs, ours in (
            ("**Overall Judgment**: Answer 2 is better.", 1, 1),
            ("Therefore,\nAnswer 1 is the slightly better one", 0, "unparsed"),
            ("Answer 1 is better.", "unparsed", 0),
            ("Overall Judgment: it says 'Answer 1 is better',\nyet Answer 2 is slightly better", 1, 1),
            ("Overall Judgment: Answer 2 is better.\n(Not: Answer 1 is better.)", 0, 0),
            ("Therefore both are equal.", "unparsed", "unparsed"),
        ):
            for found, want in ((upstream(said, 2, "pick"), theirs), (reader.parse(said, "stop", 2), ours)):
                assert (found.value if found.status == "ok" else found.status) == want, said
        assert upstream("Therefore " + "Answer 1 is better. Therefore " * 50_000, 2, "pick").value == 0

    def test_ten_draws_five_in_each_order(self, judges: SimpleNamespace, tmp_path: Path) -> None:
        judge = judges.judge(lambda question: "Overall Judgment: Answer 1 is better.", "vl-rewardbench")
        found = judge.judge("t", seen("vl-rewardbench", tmp_path))
        assert len(found.verdicts) == 10
        assert {(v.shown, v.value) for v in found.verdicts} == {((0, 1), 0), ((1, 0), 1)}
        sampling = {(q.sampling.temperature, q.sampling.top_p, q.sampling.max_tokens) for q in judge.backend.asked}
        assert sampling == {(0.2, 0.2, 2048)}

    def test_the_tasks_own_order_alone(self, judges: SimpleNamespace, tmp_path: Path) -> None:
        example = seen("mj-bench", tmp_path)
        first = judges.judge(lambda question: "BETTER IMAGE: 1", "mj-bench", orders="first")
        assert [v.shown for v in first.judge("t", example).verdicts] == [(0, 1)]
        many = judges.judge(lambda question: "[[A]]", "pick-k", orders="first")
        edges = tuple(Edge(0, k) for k in range(1, 4))
        assert [v.shown for v in many.judge("t", judges.example(*"abcd", edges=edges)).verdicts] == [(0, 1, 2, 3)]

    def test_the_users_own_template_places_media(self, tmp_path: Path) -> None:
        own = tmp_path / "own.jinja"
        own.write_text("{{ question }} {{ media }} {{ answers[0].text }}{{ answers[1].text }} [[A]] or [[B]]?")
        prompt = Prompt.of(load_protocol("llava-critic").with_templates(prompt=own))
        example = row([text("Q"), png(tmp_path, "a.png", (7, 0, 0))], [text("a")], [text("b")])
        assert layout(prompt.messages(example, (0, 1))) == ["Q ", "<7>", " ab [[A]] or [[B]]?"]
        own.write_text("{{ question }} {{ answers[0].text }}{{ answers[1].text }}")
        with pytest.raises(PromptError, match=r"does not show the image a\.png"):
            Prompt.of(load_protocol("llava-critic").with_templates(prompt=own)).messages(example, (0, 1))
        with pytest.raises(MediaError, match="is not here"):
            prompt.messages(row([text("Q"), Part("image", name="x")], [text("a")], [text("b")]), (0, 1))
