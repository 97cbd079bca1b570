"""Page of one track from numbers made by hand: sentences, notes, gaps, label sets, no network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from quintet.classifiers.storage import load_member
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import fit_conformal
from quintet.ensemble.fusion import Fusion
from quintet.explanation.assembly import MIN_SHARE, training_ids
from quintet.explanation.neighbours import nearest_tracks
from quintet.explanation.spectrogram.occlusion import Occlusion
from quintet.explanation.track import (
    NetworkExplanation,
    TrackExplanation,
    TrackPrediction,
    column_contributions,
    contribution_steps,
    explain_track,
    percentiles,
)
from quintet.features.parameters import LogMelParameters
from quintet.model_folder.run import Run, read_run
from quintet.reports.style import paint
from quintet.reports.track_layers import leaders_json, network_layers, shown_classes, time_layers
from quintet.reports.track_page import Sound, write_track
from quintet.reports.track_sections import members_section
from quintet.reports.track_text import known_recording, novelty_note, opening

NOTHING = TrackExplanation({}, {}, None, (), 0)
TEMPERATURE = Calibration("temperature", temperature=0.5).to_json()


@pytest.fixture(scope="module")
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


@pytest.fixture(scope="module")
def ensemble(model_folder: Path, run: Run) -> EnsembleClassifier:
    """The folder's table members joined by its weights, without its network."""
    names = ("logistic_regression", "random_forest", "svm", "xgboost")
    joined = EnsembleClassifier(members=names)
    joined.members_ = {name: load_member(model_folder / "members" / name) for name in names}
    joined.classes_ = np.array(run.classes, dtype=object)
    joined.rule_, joined.fusions_ = "mean", {"mean": Fusion("mean", names, run.classes, (0.25,) * 4)}
    joined.calibration_ = SimpleNamespace(apply=lambda p: p)  # type: ignore[assignment]
    return joined


def heard_of(run: Run, fused: Any, rows: pd.DataFrame | None = None, **changes: Any) -> TrackPrediction:
    """A track of ten seconds per segment with these probabilities."""
    p = np.asarray(fused, dtype=float)
    m = len(p)
    starts = tuple(10.0 * i for i in range(m))
    curve = pd.DataFrame(p, columns=list(run.classes))
    curve.insert(0, "start", starts)
    curve.insert(1, "end", [10.0 * (i + 1) for i in range(m)])
    rng = np.random.default_rng(1)
    made = TrackPrediction(
        name="song.mp3",
        duration_s=10.0 * m,
        native_sample_rate=44100,
        native_channels=2,
        digests=("abc",),
        classes=run.classes,
        multilabel=False,
        starts=starts,
        ends=tuple(10.0 * (i + 1) for i in range(m)),
        features=run.values.iloc[:m] if rows is None else rows,
        pictures=tuple(rng.normal(-50, 10, (96, 40)).astype(np.float32) for _ in range(m)),
        log_mel=LogMelParameters(),
        members={"svm": p, "xgboost": p},
        ensemble_predictions=p,
        curve=curve,
        has_short_windows=False,
        unusable_windows=pd.DataFrame(columns=["start", "end", "reason"]),
    )
    return replace(made, **changes)


def sure(run: Run, name: str, p: float = 0.9) -> np.ndarray:
    """Probability `p` for one class, the rest shared."""
    row = np.full(len(run.classes), (1 - p) / (len(run.classes) - 1))
    row[run.classes.index(name)] = p
    return row


def text_of(page: Path) -> str:
    return re.sub(
        r"\s+",
        " ",
        re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page.read_text(encoding="utf-8"), flags=re.S),
    )


def test_every_reason_adds_up_to_the_verdict(run: Run, ensemble: EnsembleClassifier) -> None:
    held_out = run.values.loc[list(run.report_predictions.clip_ids[:3])]
    members = ensemble.member_probabilities(held_out)
    heard = heard_of(run, ensemble.fuse_and_calibrate(members), held_out, members=members)
    why = explain_track(heard, ensemble, run, full=True)
    assert why.game is not None
    for k in heard.order[:2]:
        steps = contribution_steps(why.game, k)
        assert steps["value"].sum() + why.game.base[:, k].mean() == pytest.approx(
            heard.probabilities[k], abs=1e-6
        )
        assert steps["value"].abs().is_monotonic_decreasing
    assert set(why.contributions) == set(ensemble.members_)
    single = column_contributions(
        ensemble.members_["logistic_regression"], held_out.iloc[:1], run.values.loc[training_ids(run)[:16]]
    )
    assert single.residual < 1e-9
    assert not set(training_ids(run)) & set(run.report_predictions.clip_ids)


def test_a_planted_cause_comes_first(run: Run, ensemble: EnsembleClassifier) -> None:
    member = ensemble.members_["logistic_regression"]
    column = member.prepared_names[int(np.abs(member.models_[0].coef_[2]).argmax())]
    row = run.values.loc[training_ids(run)].mean(axis=0).to_frame().T
    row[column] += 6 * run.values[column].std()
    pushed = column_contributions(member, row, run.values.loc[training_ids(run)]).values[run.classes[2]]
    assert pushed.abs().idxmax() == column
    assert percentiles(row, run.values.loc[training_ids(run)])[column] == 1.0


def test_the_sentences_follow_from_the_numbers(run: Run) -> None:
    torn = np.array([sure(run, "jazz", 0.9), sure(run, "rock", 0.8), sure(run, "jazz", 0.7)])
    told = " ".join(opening(heard_of(run, torn), NOTHING, None, run))
    p = torn.mean(axis=0)
    assert f"Quintet predicts jazz, with a probability of {p[3]:.2f}." in told
    assert f"Other probable classes: rock ({p[4]:.2f})." in told
    assert "jazz leads in 2 of 3 segments, rock in 1." in told
    clear = " ".join(opening(heard_of(run, [sure(run, "rock", 0.95)]), NOTHING, None, run))
    assert "No other class is probable" in clear
    assert "leads" not in clear
    unsure = opening(heard_of(run, [sure(run, "rock", 0.3)]), NOTHING, None, run)[0]
    assert unsure == "Quintet predicts rock, but only with a probability of 0.30."


def test_a_track_unlike_the_training_clips_has_a_warning(run: Run) -> None:
    train = run.values.loc[training_ids(run)]
    about = run.features[["label", "group"]]
    known, strange = train.iloc[:1], train.iloc[:1] + 9 * train.std()
    conformal = fit_conformal(
        run.oof["weighted"].probabilities, run.oof["weighted"].labels, classes=run.oof["weighted"].classes
    )
    for rows, kind, head in (
        (known, "good", "With 90% confidence: rock."),
        (strange, "warn", "Unlike the training clips."),
    ):
        note = novelty_note(
            heard_of(run, [sure(run, "rock", 0.97)], rows, conformal=conformal),
            nearest_tracks(train, rows, about),
        )
        assert note is not None
        assert (note.kind, note.head) == (kind, head)
    anything = novelty_note(heard_of(run, [sure(run, "rock", 1 / 6)], known, conformal=conformal), None)
    assert anything is not None
    assert anything.head in ("Perhaps none of these.", "Any class is possible.")
    several = heard_of(run, [sure(run, "rock", 0.97)] * 2, train.iloc[:2], conformal=conformal)
    assert novelty_note(several, nearest_tracks(train, train.iloc[:2], about)) is None


def test_a_recording_of_the_training_part_is_no_proof(run: Run) -> None:
    features = run.features.assign(audio_digest=[f"digest {i}" for i in range(len(run.features))])
    known = replace(run, features=features)
    for part, kind in (("train", "warn"), ("test", "good")):
        clip = run.split.loc[run.split["part"] == part, "id"].iloc[0]
        note = known_recording(
            heard_of(run, [sure(run, "rock")], digests=(str(features.loc[clip, "audio_digest"]),)), known
        )
        assert note is not None
        assert note.kind == kind
        assert f"It is {clip}" in note.text
    assert known_recording(heard_of(run, [sure(run, "rock")]), known) is None
    assert known_recording(heard_of(run, [sure(run, "rock")]), run) is None


def test_label_sets_have_a_plane_per_tag_and_no_sum_of_one(run: Run, tmp_path: Path) -> None:
    tags = np.array([[0.9, 0.8, 0.1, 0.0, 0.0, 0.0], [0.7, 0.9, 0.2, 0.0, 0.0, 0.0]])
    page = write_track(
        heard_of(run, tags, multilabel=True), NOTHING, run, tmp_path / "page", Sound("data:,", "No sound.")
    )
    text = text_of(page)
    assert f"Quintet predicts {run.classes[1]} (0.85) and {run.classes[0]} (0.80)." in text
    assert "others" not in text
    assert page.read_text().count(" of classical over time.") == 1


def test_without_a_network_the_spectrogram_is_alone_and_gaps_are_named(run: Run, tmp_path: Path) -> None:
    lost = pd.DataFrame({"start": [20.0], "end": [30.0], "reason": ["A clip must contain sound."]})
    heard = heard_of(run, [sure(run, "rock"), sure(run, "jazz")], unusable_windows=lost)
    text = text_of(
        write_track(heard, NOTHING, run, tmp_path / "page", Sound("song.mp3", "Linked.", outside=True))
    )
    assert "were not computed" in text
    assert "1 window could not be described and left out: A clip must contain sound." in text
    assert not re.search(r"\bnan\b|\bNone\b", text)


def test_every_class_that_leads_a_window_is_drawn_in_its_own_colour(run: Run) -> None:
    """Double_bass led four of six windows and was not drawn: it was sixth by its mean."""
    names = run.classes
    parts = [sure(run, names[0], 0.95)] * 5 + [sure(run, name, 0.3) for name in names[1:]]
    heard = heard_of(run, parts)
    shown = shown_classes(heard)
    leaders = {int(k) for k in heard.curve[list(names)].to_numpy().argmax(axis=1)}
    assert leaders == set(range(len(names)))
    assert set(shown) == leaders
    layers = time_layers(heard)
    assert {key.name: key.paint for key in layers.keys if key.name != "others"} == {
        name: paint(k) for k, name in enumerate(names)
    }
    only = heard_of(run, [sure(run, names[2], 0.99)] * 3)
    assert [key.name for key in time_layers(only).keys][:1] == [names[2]]
    assert time_layers(only).keys[0].paint == paint(2)  # not that of the first place


def test_windows_that_are_too_short_do_not_count(run: Run, tmp_path: Path) -> None:
    """The page said that disco leads in 0 of 6 windows, below the headline disco."""
    torn = np.array([sure(run, "jazz", 0.6), sure(run, "jazz", 0.6), sure(run, "jazz", 0.6)])
    heard = heard_of(
        run, torn, ensemble_predictions=np.array([sure(run, "rock", 0.8)]), has_short_windows=True
    )
    page = write_track(heard, NOTHING, run, tmp_path / "page", Sound("data:,", ""))
    text = text_of(page)
    assert "leads" not in text
    assert "Over time, in 3 windows of 10.0 s: too short to count" in text
    folded = page.read_text(encoding="utf-8").split("too short to count</summary>")[1]
    assert 'id="figure-over-time"' in folded.split("</details>")[0]
    (leader,) = json.loads(leaders_json(heard))
    assert (leader["name"], leader["p"], leader["to"]) == ("rock", 0.8, heard.duration_s)


def test_a_training_clip_is_not_its_own_neighbour(run: Run, tmp_path: Path) -> None:
    features = run.features.assign(audio_digest=[f"digest {i}" for i in range(len(run.features))])
    known = replace(run, features=features)
    clip = training_ids(run)[0]
    rows = run.values.loc[[clip]]
    for digest, is_own in (("none", True), (str(features.loc[clip, "audio_digest"]), False)):
        heard = heard_of(run, [sure(run, "rock")], rows, digests=(digest,))
        folder = tmp_path / digest.replace(" ", "")
        write_track(heard, NOTHING, known, folder, Sound("data:,", ""))
        near = pd.read_parquet(folder / "numbers" / "neighbours.parquet")
        assert (clip in set(near["id"])) == is_own
        assert (near["distance"].min() == pytest.approx(0, abs=1e-6)) == is_own


def test_calibration_is_named_only_where_there_is_one(run: Run) -> None:
    heard = heard_of(run, [sure(run, "rock")])
    assert run.calibration is None
    for trust, is_calibrated in (({}, False), ({"calibration": TEMPERATURE}, True)):
        caption = members_section(heard, replace(run, trust=trust)).tables[0].caption
        assert ("calibrated;" in caption) == is_calibrated


def test_the_map_of_a_network_has_its_weight_and_folds_where_it_disagrees(
    run: Run, ensemble: EnsembleClassifier
) -> None:
    p = np.array([sure(run, "rock", 0.8)])
    cells = np.zeros((2, 2))
    region = Occlusion(cells, np.zeros(2), np.zeros(2), np.array([0, 48, 96]), np.array([0, 20, 40]), 0.2)
    for own, disagrees in (("rock", False), ("jazz", True)):
        heard = heard_of(run, p, members={"svm": p, "vgg_small": np.array([sure(run, own, 0.7)])})
        network = NetworkExplanation("vgg_small", heard.order[0], (0,), (region,), None)
        layers = network_layers(heard, network, run)
        assert layers.weight == pytest.approx(0.47)
        assert (layers.disagrees, layers.own_class) == (disagrees, own)


@pytest.mark.slow
def test_a_member_without_weight_is_not_explained_by_itself(run: Run, ensemble: EnsembleClassifier) -> None:
    held_out = run.values.loc[list(run.report_predictions.clip_ids[:1])]
    members = ensemble.member_probabilities(held_out)
    heard = heard_of(run, ensemble.fuse_and_calibrate(members), held_out, members=members)
    why = explain_track(heard, ensemble, run)
    heavy = {name for name in ensemble.members_ if run.member_shares[name] >= MIN_SHARE}
    assert run.member_shares["random_forest"] == 0
    assert set(why.contributions) == heavy == set(ensemble.members_) - {"random_forest"}
    assert why.reasons["random_forest"]


def test_names_are_escaped_everywhere(run: Run, tmp_path: Path) -> None:
    evil = '</script><img src=x onerror="alert(1)">.mp3'
    heard = heard_of(run, [sure(run, run.classes[0])], name=evil, classes=("</script><b>", *run.classes[1:]))
    heard = replace(heard, curve=heard.curve.rename(columns={run.classes[0]: "</script><b>"}))
    page = write_track(heard, NOTHING, run, tmp_path / "page", Sound("data:,", ""))
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "</script><b>" not in text
    assert text.count("</script>") == text.count("<script")


def test_the_policy_of_the_page_of_a_track(run: Run, tmp_path: Path, policed: Callable[[str], Any]) -> None:
    heard = heard_of(run, [sure(run, run.classes[0])], name="a\u202eb.mp3")
    for sound, allowed in (
        (Sound("data:,", ""), ["data:"]),
        (Sound("../song.mp3", "", outside=True), ["data:", "'self'", "file:"]),
    ):
        page = write_track(heard, NOTHING, run, tmp_path / "page", sound)
        read = policed(page.read_text(encoding="utf-8"))
        assert read.policy["media-src"] == allowed
        assert [source for source in read.sources if not source.startswith("data:")] == [
            sound.source for _ in (1,) if sound.outside
        ]
    assert "a\\u202eb.mp3" in page.read_text(encoding="utf-8")


def test_a_class_in_the_line_below_the_sound_is_printable(run: Run) -> None:
    evil = "\u202e" + run.classes[0]
    heard = heard_of(run, [sure(run, run.classes[0])], classes=(evil, *run.classes[1:]))
    heard = replace(heard, curve=heard.curve.rename(columns={run.classes[0]: evil}))
    (leader,) = json.loads(leaders_json(heard))
    assert leader["name"] == "\\u202e" + run.classes[0]


@pytest.mark.slow
@pytest.mark.parametrize("is_inside", [True, False])
def test_in_a_browser_the_player_gets_its_sound(
    run: Run, tmp_path: Path, open_in_browser: Callable[[Path], tuple[str, str]], is_inside: bool
) -> None:
    soundfile.write(tmp_path / "song.wav", np.zeros(22050), 22050)
    content = base64.b64encode((tmp_path / "song.wav").read_bytes()).decode()
    sound = Sound(
        f"data:audio/wav;base64,{content}" if is_inside else "../song.wav", "", outside=not is_inside
    )
    heard = heard_of(run, [sure(run, run.classes[0])])
    page = write_track(heard, NOTHING, run, tmp_path / "page", sound)
    document, console = open_in_browser(page)
    assert console == ""
    assert re.search('<html[^>]* class="ready"', document)  # set when the browser has the sound


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page_of_a_track(
    run: Run,
    ensemble: EnsembleClassifier,
    tmp_path: Path,
    show: Callable[..., Any],
    violations: Callable[[Any], list[str]],
    theme: str,
) -> None:
    held_out = run.values.loc[list(run.report_predictions.clip_ids[:3])]
    members = ensemble.member_probabilities(held_out)
    heard = heard_of(run, ensemble.fuse_and_calibrate(members), held_out, members=members)
    page = write_track(
        heard, explain_track(heard, ensemble, run), run, tmp_path / "page", Sound("data:,", "")
    )
    for width in (390, 1280):
        shown = show(page, width=width, theme=theme)
        shown.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert violations(shown) == []
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
