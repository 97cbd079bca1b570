"""First screens of the report: their numbers are those of the files, and their words those of the numbers."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.evaluation.percentile_intervals import share_interval, wilson_interval
from quintet.evaluation.scores import Estimate
from quintet.explanation.ensemble import ColumnExplanation, EnsembleExplanation
from quintet.explanation.members import RunExplanation
from quintet.explanation.shapley.family_shapley import SPECTROGRAM, FamilyShapley
from quintet.explanation.shapley.sampled_shapley import SampledShapley
from quintet.features.catalogue import feature_set_families
from quintet.model_folder.folder import relist
from quintet.model_folder.run import Run, read_run
from quintet.model_folder.scores import RunScores
from quintet.model_folder.unseen import Unseen, unseen_clips
from quintet.predictions.predictions import Predictions
from quintet.reports.front.bars import Measure, Scale
from quintet.reports.front.explanations import ExplainCommands, explain_commands
from quintet.reports.front.headline import SHARES, Success, evidence, headline, luck, share_words
from quintet.reports.front.page import explain_note, strip_note, strip_scope, worst_class
from quintet.reports.front.reasons import FAMILY_WORDS, NO_INTERVAL, _column_reasons, members_note, reasons
from quintet.reports.front.sounds import make_sounds
from quintet.reports.front.training_words import training_words
from quintet.reports.front.trust import Check, checks, count_copies, next_steps, summary
from quintet.reports.front.unseen import all_mistakes, class_strip, unseen_confusions
from quintet.reports.sections.model_card import model_card_section
from quintet.reports.text import FEW_CLIPS, display_name, split_note


@pytest.fixture(scope="session")
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


@pytest.fixture(scope="session")
def first_screens(page: Path) -> str:
    """The text of the page before the details, without markup."""
    html = page.read_text(encoding="utf-8")
    body = html[html.index("<body>") : html.index('id="details"')]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


def stored(folder: Path) -> pd.DataFrame:
    """All predictions of the rule of the fixture, read from its files by pandas alone."""
    frames = []
    for part in ("test", "oof"):
        path = folder / "predictions" / part / "weighted.parquet"
        frames.append(pd.read_parquet(path).assign(part=part))
    table = pd.concat(frames, ignore_index=True)
    columns = [name for name in table if name.startswith("probability.")]
    table["predicted"] = table[columns].idxmax(axis=1).str.removeprefix("probability.")
    table["confidence"] = table[columns].max(axis=1)
    return table


def test_headline_is_that_of_the_scores_file(model_folder: Path, first_screens: str) -> None:
    content = json.loads((model_folder / "scores.json").read_text())["test"]["weighted"]
    accuracy, n = content["scores"]["accuracy"], content["n"]
    low, high = (round(100 * accuracy[end]) for end in ("low", "high"))
    said = f"{round(accuracy['value'] * n)} of {n} held-out clips, {round(100 * accuracy['value'])} % "
    assert f"{said}({low}–{high} %); guessing: 1 in 6" in first_screens
    assert f"one of six classes {share_words(accuracy['value'])}." in first_screens


def test_strip_counts_every_clip_of_the_prediction_files(
    model_folder: Path, page: Path, first_screens: str
) -> None:
    table = stored(model_folder)
    right = (table["predicted"] == table["label"]).groupby(table["label"]).agg(["sum", "size"])
    written = pd.read_parquet(page.parent / "numbers" / "unseen-classes.parquet").set_index("class")
    assert written["right"].to_dict() == right["sum"].to_dict()
    assert written["clips"].to_dict() == right["size"].to_dict()
    for name, row in right.iterrows():
        assert re.search(rf"{name}\s+{row['sum']} of {row['size']}\b", first_screens)
    shares = written["right"] / written["clips"]
    assert shares.is_monotonic_increasing  # the worst first
    assert f"{written.index[0]}: {right.loc[written.index[0], 'sum']} of" in first_screens
    assert written["clips"].sum() == len(table)


def test_matrix_and_mistakes_are_those_of_the_prediction_files(
    model_folder: Path, page: Path, first_screens: str
) -> None:
    table = stored(model_folder)
    wrong = table[table["predicted"] != table["label"]]
    assert f"{len(wrong)} mistakes in all" in first_screens
    counts = pd.read_parquet(page.parent / "numbers" / "unseen-confusion.parquet").set_index("true")
    expected = pd.crosstab(table["label"], table["predicted"])
    expected = expected.reindex(index=counts.index, columns=counts.columns, fill_value=0)
    np.testing.assert_array_equal(counts.to_numpy(), expected.to_numpy())
    first = wrong.sort_values("confidence", ascending=False).iloc[0]
    assert f"{first['label']} taken for {first['predicted']} {first['clip_id']}" in re.sub(
        r"\s*([./_])\s*", r"\1", first_screens
    )


def test_the_checks_have_the_numbers_of_the_prediction_files(model_folder: Path, first_screens: str) -> None:
    table = stored(model_folder)
    test = table[table["part"] == "test"]
    is_right = (test["predicted"] == test["label"]).astype(float)
    bins = np.minimum((test["confidence"] * 15).astype(int), 14)  # the definition of Guo et al., eq. 3
    gaps = is_right.groupby(bins).mean() - test["confidence"].groupby(bins).mean()
    error = (gaps.abs() * bins.value_counts()).sum() / len(test)
    assert f"Probabilities They are off by {error:.2f} on average" in first_screens
    rivals = table[table["predicted"] != table["label"]].value_counts(["label", "predicted"])
    first = re.search(r"Most frequent: (.+?) taken for (.+?) \((\d+)\)", first_screens)
    assert first is not None
    assert int(first[3]) == rivals[first[1], first[2]] == rivals.max()
    assert f"! Few clips {len(test)} held-out clips leave" in first_screens


def test_families_and_columns_are_those_of_the_files(page: Path, first_screens: str) -> None:
    numbers = page.parent / "numbers"
    steps = pd.read_parquet(numbers / "game.parquet")
    compact = first_screens.replace(" ", "")
    for row in steps.to_dict("records"):
        text = f"{row['value']:+.2f}".replace("-", "−")
        shown = "0.00" if float(f"{row['value']:.2f}") == 0 else text
        assert f"{row['player']}{shown}" in compact
    assert f"{steps['value'].iloc[0]:.2f} of the" in first_screens


def test_members_stand_with_their_weights(
    model_folder: Path, run: Run, first_screens: str, page: Path
) -> None:
    rules = json.loads((model_folder / "fusion.json").read_text())["rules"]
    weights = rules["weighted"]["weights"]
    assert run.member_shares == pytest.approx(weights)
    for name, weight in weights.items():
        stands = f"{display_name(name, run)} {weight:.2f}" in first_screens
        assert stands == (weight > 0), name
    assert "Without weight: Random forest." in first_screens
    assert max(weights, key=lambda name: weights[name]) == "vgg_small"  # which the details do not explain
    assert "the explained member with the largest weight" in page.read_text(encoding="utf-8")


def test_card_and_badge_lie_beside_the_numbers(page: Path, model_folder: Path) -> None:
    card = (page.parent / "numbers" / "card.png").read_bytes()
    assert card[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(card[16:20], "big"), int.from_bytes(card[20:24], "big")) == (1200, 630)
    accuracy = json.loads((model_folder / "scores.json").read_text())["test"]["weighted"]["scores"][
        "accuracy"
    ]
    badge = (page.parent / "numbers" / "badge.svg").read_text()
    assert f"{round(100 * accuracy['value'])} % [" in badge


def test_only_the_long_form_is_unfolded(
    model_folder: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    for full in (False, True):
        page = write_sections(model_folder, tmp_path / str(full), model_card_section, full=full)
        html = page.read_text(encoding="utf-8")
        assert ('<details class="chapter" open>' in html) == full
        assert ('<details class="chapter">' in html) != full


def test_share_words_are_the_nearest_and_never_flatter() -> None:
    for share in np.linspace(0.01, 0.99, 99):
        words = {text: value for value, text in SHARES}[share_words(float(share))]
        assert abs(words - share) == min(abs(value - share) for value, _ in SHARES)
    assert share_words(0.999) == "nearly every time"
    assert share_words(0.001) == "hardly ever"


def test_chance_is_named_where_the_interval_holds_it() -> None:
    good = Success(0.74, 0.52, 0.91, 23, 10, 3, True, False)
    assert luck(good) == ""
    poor = Success(0.2, 0.08, 0.35, 40, 10, 5, True, False)
    assert "guessing" in luck(poor)
    uneven = Success(0.7, 0.6, 0.8, 100, 4, 65, True, False)
    assert "most frequent class: 65 of 100" in evidence(uneven)
    assert "most frequent class" in luck(uneven)
    slightly = Success(0.16, 0.11, 0.22, 200, 10, 26, True, False)  # above guessing, not above 26 of 200
    assert "the most frequent class" in luck(slightly)
    assert luck(replace(slightly, low=0.14)) == ""
    for worse in (
        Success(0.3, 0.2, 0.4, 80, 2, 40, True, False),
        replace(uneven, value=0.5, low=0.4, high=0.6),
    ):
        assert "worse" in luck(worse)
        assert "chance" not in luck(worse)
    tags = Success(0.9, 0.85, 0.94, 80, 12, 40, True, True)
    assert headline(tags, "tag") == "Puts a clip with a tag before a clip without it nine times in ten"
    assert "guessing: 1 in 2" in evidence(tags)


def test_interval_of_a_share_widens_with_the_likeness_within_groups() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 5)
    alike = np.repeat(rng.random(12) < 0.5, 5)
    mixed = np.tile([True, False], 30)
    alone = wilson_interval(float(alike.mean()), 60)
    by_group = share_interval(alike, groups)
    assert by_group == pytest.approx(wilson_interval(float(alike.mean()), 12))
    assert by_group[1] - by_group[0] > 1.5 * (alone[1] - alone[0])
    assert share_interval(mixed, None) == wilson_interval(0.5, 60)
    assert share_interval(mixed, groups) == pytest.approx(wilson_interval(0.5, 60))
    assert share_interval(np.ones(30, bool), np.repeat(np.arange(3), 10)) == wilson_interval(1.0, 3)


def tagged() -> Unseen:
    p = np.array([[0.9, 0.2, 0.7], [0.4, 0.8, 0.1], [0.6, 0.1, 0.2]])
    labels = np.array(["a;b", "b", "a"], dtype=object)
    predictions = Predictions(np.array(["x", "y", "z"]), ("a", "b", "c"), p, labels, multilabel=True)
    return Unseen(predictions, np.array(["test", "oof", "oof"]))


def test_tags_count_what_was_found_and_what_was_given_wrongly() -> None:
    strip = class_strip(tagged()).set_index("class")
    assert strip.loc["a", ["clips", "right", "extra"]].tolist() == [2, 2, 0]
    assert strip.loc["b", ["clips", "right", "extra"]].tolist() == [2, 1, 0]
    assert "c" not in strip.index  # no clip has it
    mistakes = all_mistakes(tagged())
    assert mistakes["clip_id"].tolist() == ["x"]
    assert mistakes.loc[0, ["label", "predicted", "confidence"]].tolist() == ["b", "", 0.8]  # missed
    assert unseen_confusions(tagged()) is None


def test_a_class_with_few_clips_is_never_called_the_worst() -> None:
    p = np.array([[0.9, 0.1]] * 9 + [[0.1, 0.9]] * 12)
    labels = np.array(["a"] * 4 + ["b"] * 17, dtype=object)
    few = Predictions(np.array([f"c{i:02d}" for i in range(21)]), ("a", "b"), p, labels)
    strip = class_strip(Unseen(few, np.array(["oof"] * 21)))
    assert strip[["class", "right", "clips"]].to_numpy().tolist() == [["b", 12, 17], ["a", 4, 4]]
    wrong = few.with_probabilities(p[:, ::-1].copy())
    strip = class_strip(Unseen(wrong, np.array(["oof"] * 21)))
    assert strip["class"].tolist() == ["b", "a"]  # a has 0 of 4


def strip_of(*rows: tuple[str, int, int, int]) -> pd.DataFrame:
    """A strip of `(class, clips, right, extra)`."""
    table = pd.DataFrame(rows, columns=["class", "clips", "right", "extra"])
    return table.assign(mistaken_for="", mistaken_clips=0)


def test_the_worst_class_has_a_mistake_even_if_its_clips_are_few(run: Run) -> None:
    few = strip_of(("jazz", 20, 20, 2), ("rock", 4, 1, 0), ("ambient", 3, 3, 0))
    assert worst_class(few, run).startswith("rock: 1 of 4 right")  # two clips of rock were taken for jazz
    none = strip_of(("jazz", 20, 20, 0), ("rock", 4, 4, 0))
    assert worst_class(none, run).startswith("None")
    equal = strip_of(("jazz", 20, 9, 2), ("rock", 20, 9, 0), ("ambient", 20, 11, 0))
    assert worst_class(equal, run).startswith("jazz and rock: 9 of 20 right")
    tags = replace(run, test={run.prediction_name: replace(run.report_predictions, multilabel=True)})
    assert (
        worst_class(few[few["class"] != "rock"], tags)
        == "jazz: 20 of 20 found, and given to 2 clips without it."
    )
    assert worst_class(none, tags) == "None: every clip of every tag is found."


def test_steps_count_the_classes_that_they_do_not_name(run: Run) -> None:
    for n, words in ((1, "a has"), (2, "a and b have"), (5, "a, b, c and 2 more have")):
        strip = strip_of(*((name, 3, 3, 0) for name in "abcde"[:n]))
        assert any(f"{words} fewer" in step for step in next_steps(run, strip, (), can_play=False))


def test_a_run_without_a_held_out_part_is_not_said_to_have_one(run: Run) -> None:
    grouped = replace(run.results, split=replace(run.results.split, protocol="group", groups_known=True))
    whole = replace(run, results=grouped)
    assert "in test" in split_note(whole).text
    alone = split_note(replace(whole, test={}))
    assert alone.kind == "good"
    assert "test" not in alone.text
    without_test = replace(whole, test={})
    unseen = unseen_clips(without_test)
    assert "held" not in strip_scope(unseen, class_strip(unseen), without_test)


def test_checks_that_were_not_made_are_counted() -> None:
    good, warn, left = (Check(kind, kind, "", "") for kind in ("good", "warn", "open"))
    assert "1 of 3 checks warns, 1 is open" in summary([good, warn, left])
    assert "open" not in summary([good, warn])
    assert summary([good, left, left]).endswith("2 are open.")


def with_digests(run: Run, digests: dict[str, str]) -> Run:
    """The run with a digest of its own for each clip, except those given."""
    own = [digests.get(str(name), f"xxh3:{name}") for name in run.features.index]
    return replace(run, features=run.features.assign(audio_digest=own))


def test_the_same_sound_on_both_sides_of_a_split_is_counted(run: Run) -> None:
    parts = run.split.groupby("part")["id"].apply(list)
    apart = with_digests(run, {})
    assert count_copies(apart) == 0
    copied = with_digests(run, dict.fromkeys([parts["train"][0], *parts["test"][:2]], "xxh3:same"))
    assert count_copies(copied) == 2
    assert count_copies(with_digests(run, dict.fromkeys(parts["test"][:2], "xxh3:same"))) == 0
    folds = run.split[run.split["part"] == "train"].groupby("fold")["id"].first()
    in_two_folds = with_digests(run, dict.fromkeys(folds.iloc[:2], "xxh3:same"))
    assert count_copies(replace(in_two_folds, test={})) == 2
    one_fold = run.split[run.split["fold"] == folds.index[0]]["id"].iloc[:2]
    assert count_copies(replace(with_digests(run, dict.fromkeys(one_fold, "xxh3:same")), test={})) == 0
    unknown = replace(run, features=run.features.drop(columns="audio_digest", errors="ignore"))
    assert count_copies(unknown) is None


def test_no_two_checks_say_the_same(run: Run) -> None:
    no_gate = replace(run.results, leak_gate=None)
    good = replace(no_gate, split=replace(no_gate.split, protocol="group", groups_known=True))
    unknown = replace(no_gate, split=replace(no_gate.split, protocol="sound", groups_known=False))
    by_group = replace(with_digests(run, {}), results=good)
    names = [check.name for check in checks(by_group, None, 0.0)]
    assert names[0].startswith("Split by")
    assert names[-1] == "Copies"
    no_digests = replace(by_group, features=run.features.drop(columns="audio_digest", errors="ignore"))
    assert len(checks(no_digests, None, 0.0)) == 3
    leak = checks(replace(by_group, results=unknown), None, 0.0)[-1]
    assert (leak.name, leak.kind) == ("Leak", "open")
    assert "random,sound" in leak.text
    copies = with_digests(run, dict.fromkeys(run.split.groupby("part")["id"].first(), "xxh3:same"))
    assert checks(replace(copies, results=good), None, 0.0)[-1].kind == "warn"


def test_only_explanations_of_training_clips_are_said_to_come_from_a_model_that_learnt_them(run: Run) -> None:
    parts = run.split.groupby("part")["id"].first()
    assert "final model" in explain_note(run, ExplainCommands(names={parts["train"]: "a"}))
    assert explain_note(run, ExplainCommands(names={parts["test"]: "a"})) == ""


def test_the_parts_of_the_strip_add_up_to_its_rows(run: Run, model_folder: Path, first_screens: str) -> None:
    table = stored(model_folder)
    is_right, is_test = table["predicted"] == table["label"], table["part"] == "test"
    held_out = f"{is_right[is_test].sum()} of {is_test.sum()} held-out clips (the headline)"
    others = f"{is_right[~is_test].sum()} of {(~is_test).sum()} clips in cross-validation"
    assert f"{held_out} and {others}: {is_right.sum()} of {len(table)} are right." in first_screens
    strip = class_strip(unseen_clips(run))
    assert strip["right"].sum() == is_right.sum()
    assert ("Grey" in strip_note(strip)) == bool((strip["clips"] < FEW_CLIPS).any())


@pytest.mark.parametrize(
    ("is_grouped", "words"), [(True, "Bring more groups "), (False, "Bring more clips:")]
)
def test_more_of_what_the_interval_is_computed_by(run: Run, is_grouped: bool, words: str) -> None:
    """An interval by group hardly narrows with more clips of the same groups."""
    strip = class_strip(unseen_clips(run)).assign(clips=FEW_CLIPS)
    split = replace(run.results.split, grouped=is_grouped, protocol="group" if is_grouped else "random")
    few = Check("Few clips", "warn", "", "")
    steps = next_steps(replace(run, results=replace(run.results, split=split)), strip, (few,), can_play=False)
    assert any(step.startswith(words) for step in steps)


def test_columns_and_families_have_the_same_sum(page: Path, first_screens: str) -> None:
    numbers = page.parent / "numbers"
    families = pd.read_parquet(numbers / "game.parquet")["value"]
    columns = pd.read_parquet(numbers / "sampled-columns.parquet")["value"]
    assert columns.sum() == pytest.approx(families.sum(), abs=1e-9)
    assert f". The sum of all is {families.sum():+.2f}, as that of the families." in first_screens


def test_one_member_is_named_without_a_weight(run: Run) -> None:
    bundle = {**run.bundle, "members": ["random_forest"]}
    assert members_note(replace(run, bundle=bundle)) == "One classifier decides: random forest."


def test_a_step_without_an_interval_is_not_certain(run: Run) -> None:
    steps = pd.DataFrame(
        {"player": ["tonal", "rhythm"], "value": [0.2, 0.1], "low": [np.nan, 0.05], "high": [np.nan, 0.15]}
    )
    by_class = pd.DataFrame({"tonal": [0.2], "rhythm": [0.1]}, index=["a"])
    shapley = FamilyShapley(
        ("tonal", "rhythm"), np.zeros((1, 2, 1)), np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 2, 1, 1))
    )
    game = EnsembleExplanation(
        shapley, pd.DataFrame(index=["x"]), np.zeros((1, 2)), steps, 0.2, 0.5, by_class, 1, 0.0
    )
    found = reasons(run, RunExplanation({}, {}, pd.DataFrame(), pd.DataFrame(), game=game))
    assert found is not None
    assert [reason.is_certain for reason in found.families] == [False, True]
    assert found.lead.endswith(NO_INTERVAL)  # nothing is said to be chance: it is not known


def test_a_column_that_stands_for_others_says_how_many(run: Run) -> None:
    nan = np.full(2, np.nan)
    players = ("tonal.a + 12 alike", "tonal.b")
    steps = pd.DataFrame({"player": players, "value": [0.2, 0.1], "low": [0.1, 0.05], "high": [0.3, 0.2]})
    sampled = SampledShapley(players, np.ones((3, 2)), np.ones((3, 2)), nan, nan, 4, 1)
    listed, _ = _column_reasons(ColumnExplanation(sampled, steps, 1), run)
    assert [reason.name for reason in listed] == ["tonal.a", "tonal.b"]
    assert listed[0].others == "and 12 near-copies"
    assert listed[1].others == ""


def test_columns_without_any_interval_are_listed_and_not_called_chance(run: Run) -> None:
    nan = np.full(2, np.nan)
    steps = pd.DataFrame({"player": ["tonal.a", "tonal.b"], "value": [0.2, 0.1], "low": nan, "high": nan})
    sampled = SampledShapley(("tonal.a", "tonal.b"), np.ones((3, 2)), np.ones((3, 2)), nan, nan, 4, 1)
    listed, note = _column_reasons(ColumnExplanation(sampled, steps, 1), run)
    assert [reason.name for reason in listed] == ["tonal.a", "tonal.b"]
    assert note.endswith(NO_INTERVAL)
    narrow = steps.assign(low=[0.1, -0.1], high=[0.3, 0.3])
    assert "Faint" in _column_reasons(ColumnExplanation(sampled, narrow, 1), run)[1]
    wide = steps.assign(low=-1.0, high=1.0)
    assert _column_reasons(ColumnExplanation(sampled, wide, 1), run)[0] == ()


def test_every_clip_is_unseen_once(run: Run) -> None:
    unseen = unseen_clips(run)
    assert len(set(unseen.predictions.clip_ids)) == len(unseen.predictions)
    assert unseen.n_held_out == len(run.report_predictions)
    taken = unseen.predictions.take(list(run.report_predictions.clip_ids))
    np.testing.assert_array_equal(taken.probabilities, run.report_predictions.probabilities)


def test_bars_begin_at_zero_and_end_at_the_value() -> None:
    scale = Scale(-0.5, 1.5)
    up, down = scale.span(Measure(1.0, 0.5, 1.5, "")), scale.span(Measure(-0.25, np.nan, np.nan, ""))
    assert (up.left, up.width, up.low, up.reach) == (25.0, 50.0, 50.0, 50.0)
    assert (down.left, down.width, down.low) == (12.5, 12.5, None)


def with_audio(run_folder: Path, folder: Path, n: int) -> tuple[Path, list[str]]:
    """The model with files for its first clips: a copy, whose table has their paths and digests."""
    shutil.copytree(run_folder, folder)
    table = pd.read_parquet(folder / "features.parquet")
    ids = table["id"].astype(str).tolist()[:n]
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder.parent / f"clip {i}.flac"
        soundfile.write(path, 0.1 * rng.normal(size=22050).clip(-1, 1), 22050)
        table.loc[i, "path"] = str(path)
        table.loc[i, "audio_digest"] = load_clip(path, sample_rate=None).audio_digest
        table.loc[i, "duration_s"] = 1.0
    table.to_parquet(folder / "features.parquet")
    return relist(folder), ids


def test_sound_travels_in_the_page_or_is_linked_and_only_the_described_sound(
    model_folder: Path, tmp_path: Path
) -> None:
    folder, ids = with_audio(model_folder, tmp_path / "model", 4)
    soundfile.write(tmp_path / "clip 1.flac", np.full(22050, 0.3), 22050)  # another sound under the same name
    run = read_run(folder)
    sounds = make_sounds(run, [*ids, "not there"], tmp_path / "report", n_inside=3)
    assert set(sounds.inside) == {ids[0], ids[2]}
    assert all(text.startswith("data:audio/ogg;base64,T2dn") for text in sounds.inside.values())
    assert sounds.linked == {ids[3]: "../clip%203.flac"}
    assert ids[1] not in {**sounds.inside, **sounds.linked}
    assert make_sounds(run, ids, None).linked == {}


def test_mistakes_have_commands_that_name_files_as_seen_from_the_report(
    model_folder: Path, tmp_path: Path
) -> None:
    folder, ids = with_audio(model_folder, tmp_path / "my model", 4)
    table = pd.read_parquet(folder / "features.parquet")
    table["start"], table["end"] = np.nan, np.nan
    table.loc[2, ["start", "end"]] = 0.2, 0.8  # a window: `explain` would take the whole file
    table.to_parquet(folder / "features.parquet")
    (tmp_path / "clip 3.flac").unlink()
    report = tmp_path / "pages" / "a report"
    found = explain_commands(read_run(relist(folder)), [*ids, "not there"], report)
    assert list(found.names) == ids[:2]
    for k, clip in enumerate(ids[:2]):
        quintet, explain, model, file, option, page = shlex.split(found.command(clip))
        assert (quintet, explain, option) == ("quintet", "explain", "-o")
        assert (report / model).resolve() == folder.resolve()
        assert (report / file).resolve() == (tmp_path / f"clip {k}.flac").resolve()
        assert (report / page).resolve().parent == (tmp_path / "pages" / "a report-explanations").resolve()
        assert json.loads(found.json)[clip] == [found.command(clip), f"{page}/"]
    assert len(set(found.names.values())) == 2
    assert explain_commands(read_run(folder), ids, None).names == {}


def test_estimates_without_an_interval_give_no_interval() -> None:
    alone = Success(0.5, Estimate(0.5, np.nan, np.nan).low, np.nan, 10, 2, 5, False, False)
    assert evidence(alone) == "5 of 10 out-of-fold clips, 50 %; guessing: 1 in 2"


def test_a_training_is_told_in_sentences_with_the_numbers_of_its_files(model_folder: Path, run: Run) -> None:
    fusion = json.loads((model_folder / "fusion.json").read_text())
    scores = json.loads((model_folder / "scores.json").read_text())["test"]
    first, *others = training_words(run.bundle, fusion, run.results)
    accuracy, n = scores["weighted"]["scores"]["accuracy"], scores["weighted"]["n"]
    low, high = (round(100 * accuracy[end]) for end in ("low", "high"))
    right = round(100 * accuracy["value"])
    most = stored(model_folder).query("part == 'test'")["label"].value_counts().max()
    frequent = f"always the most frequent class: {round(100 * most / n)} %"
    assert (
        first
        == f"6 classes, {n} held-out clips: {right} % right ({low}–{high} %); guessing: 17 %; {frequent}."
    )
    said = " ".join(others)
    for name, weight in fusion["rules"]["weighted"]["weights"].items():
        assert f"{name} {weight:.2f}" in said if weight else f"no weight for {name}" in said
    best = max(run.members, key=lambda name: scores[name]["scores"]["accuracy"]["value"])
    value = scores[best]["scores"]["accuracy"]["value"]
    assert f"The best single member, {best}, reaches {round(100 * value)} %" in said
    assert ("may be chance" in said) == (accuracy["low"] <= value <= accuracy["high"])
    unknown = replace(run.results, split=replace(run.results.split, groups_known=False))
    assert len(training_words(run.bundle, fusion, unknown)) == len(others) + 2


@pytest.mark.parametrize(
    ("protocol", "known", "group_by", "whole"),
    [("group", True, "artist", "each artist"), ("sound", False, None, "alike"), ("group", False, None, "")],
)
def test_a_training_says_what_its_folds_keep_whole(
    model_folder: Path, run: Run, protocol: str, known: bool, group_by: str | None, whole: str
) -> None:
    fusion = json.loads((model_folder / "fusion.json").read_text())
    fusion["comparison"] = {"reason": "the simplest"}
    split = replace(run.results.split, protocol=protocol, groups_known=known, group_by=group_by)
    chosen = training_words(run.bundle, fusion, replace(run.results, split=split))
    why = next(sentence for sentence in chosen if sentence.startswith("Chosen"))
    assert ("in one fold" in why) == bool(whole)
    assert whole in why


def test_members_whose_score_is_unknown_are_not_compared(model_folder: Path, run: Run) -> None:
    """As the macro AUC of label sets, if the test part has one clip."""
    fusion = json.loads((model_folder / "fusion.json").read_text())
    content = json.loads((model_folder / "scores.json").read_text())
    for name in run.members:
        content["test"][name]["scores"]["accuracy"]["value"] = None
    said = training_words(run.bundle, fusion, RunScores.from_json(content))
    assert not any("best single member" in sentence for sentence in said)


def test_the_families_of_the_docs_are_those_of_the_features() -> None:
    page = (Path(__file__).parents[2] / "docs" / "read-the-report.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\w+) \|", page.partition("| family |")[2].partition("\n\n")[0], re.MULTILINE)
    assert sorted(listed) == sorted([*feature_set_families("wide"), SPECTROGRAM])
    assert {*listed} <= {*FAMILY_WORDS}
