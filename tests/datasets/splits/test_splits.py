"""Splits: no leaks, every clip once, even classes, and the same result for the same seed."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.folds import grouped_folds, hold_out, usable_folds
from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.datasets.splits.split import Split
from quintet.errors import ArtefactError, ConfigError, DatasetError, SplitLeakError


@st.composite
def corpora(draw):
    """Labels and groups: every class in at least six groups, some groups of several classes, in any order."""
    n_classes, per_class = draw(st.integers(2, 5)), draw(st.integers(6, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    labels, groups = [], []
    for c in range(n_classes):
        for g in range(per_class):
            for _ in range(rng.integers(1, 6)):
                labels.append(f"class{c}")
                groups.append(f"artist{c}_{g}" if rng.random() < 0.8 else f"artist{(c + 1) % n_classes}_{g}")
            labels.append(f"class{c}")
            groups.append(f"artist{c}_{g}")
    order = rng.permutation(len(labels))
    return np.array(labels)[order], np.array(groups)[order]


def unevenness(y, folds):
    """Relative squared deviation of class counts from equal shares, and number of absent classes."""
    classes = np.unique(y)
    held = np.array([[np.sum(y[valid] == c) for c in classes] for _, valid in folds])
    target = np.array([np.sum(y == c) for c in classes]) / len(folds)
    return float(((held - target) ** 2 / target).sum()), int((held == 0).sum())


class TestFolds:
    @settings(max_examples=40, deadline=None)
    @given(corpora(), st.integers(2, 5), st.integers(0, 3))
    def test_properties(self, corpus, n_splits, seed):
        y, groups = corpus
        folds = grouped_folds(y, groups, n_splits=n_splits, seed=seed)
        assert sorted(np.concatenate([valid for _, valid in folds]).tolist()) == list(range(len(y)))
        for train, valid in folds:
            assert sorted([*train, *valid]) == list(range(len(y)))
            assert not set(groups[train]) & set(groups[valid])
            assert set(y[train]) == set(y[valid]) == set(y)
        again = grouped_folds(y, groups, n_splits=n_splits, seed=seed)
        assert all((a[1] == b[1]).all() for a, b in zip(folds, again, strict=True))

    @settings(max_examples=25, deadline=None)
    @given(corpora(), st.randoms(use_true_random=False))
    def test_row_order_does_not_matter(self, corpus, random):
        y, groups = corpus
        order = list(range(len(y)))
        random.shuffle(order)

        def fold_of(y, groups):
            folds = grouped_folds(y, groups, n_splits=4, seed=1)
            return {g: k for k, (_, valid) in enumerate(folds) for g in groups[valid]}

        assert fold_of(y, groups) == fold_of(y[order], groups[order])

    @pytest.mark.parametrize(("per_class", "n_splits"), [(24, 5), (30, 5), (7, 3), (100, 10)])
    def test_folds_of_single_clips_differ_by_at_most_one(self, per_class, n_splits):
        y = np.repeat(["a", "b", "c", "d"], per_class)
        folds = grouped_folds(y, np.arange(len(y)), n_splits=n_splits, seed=0)
        for c in np.unique(y):
            held = [np.sum(y[valid] == c) for _, valid in folds]
            assert max(held) - min(held) <= 1
        sizes = [len(valid) for _, valid in folds]
        assert max(sizes) - min(sizes) <= 1

    @pytest.mark.slow
    def test_more_even_than_scikit_learn(self):
        """Independent oracle: `StratifiedGroupKFold` on 30 random corpora."""
        rng, ours, theirs = np.random.default_rng(0), [], []
        for trial in range(30):
            home = rng.integers(0, 6, 50)
            groups = rng.integers(0, 50, 300)
            y = np.where(rng.random(300) < 0.8, home[groups], rng.integers(0, 6, 300))
            ours.append(unevenness(y, grouped_folds(y, groups, n_splits=5, seed=trial)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs.append(
                    unevenness(
                        y, list(StratifiedGroupKFold(5, shuffle=True, random_state=trial).split(y, y, groups))
                    )
                )
        assert np.mean(ours, axis=0)[0] < 0.8 * np.mean(theirs, axis=0)[0]
        assert sum(absent for _, absent in ours) == 0

    def test_seed_chooses_among_divisions(self):
        y = np.repeat(["a", "b"], 20)
        divisions = {tuple(grouped_folds(y, np.arange(40), n_splits=2, seed=seed)[0][1]) for seed in range(5)}
        assert len(divisions) == 5

    def test_label_sets_are_spread_tag_by_tag(self):
        rng = np.random.default_rng(0)
        y = (rng.random((400, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.05]).astype(int)
        groups = rng.integers(0, 80, 400)
        folds = grouped_folds(y, groups, n_splits=5, seed=0)
        share = np.array([y[valid].sum(axis=0) for _, valid in folds]) / y.sum(axis=0)
        assert share.min() > 0.1
        assert share.max() < 0.3
        assert not any(set(groups[train]) & set(groups[valid]) for train, valid in folds)

    def test_usable_folds(self):
        assert usable_folds(["a"] * 9 + ["b"] * 9, [*range(9), *[1, 2, 3] * 3]) == 3
        assert usable_folds(["a"] * 9 + ["b"] * 9, range(18)) == 5
        assert usable_folds(["a", "b"], [1, 2]) == 2


class TestHoldOut:
    @settings(max_examples=40, deadline=None)
    @given(corpora(), st.sampled_from([0.1, 0.2, 0.3]))
    def test_properties(self, corpus, test_size):
        y, groups = corpus
        train, test = hold_out(y, groups, test_size=test_size, seed=0)
        assert sorted([*train, *test]) == list(range(len(y)))
        assert not set(groups[train]) & set(groups[test])
        assert set(y[train]) == set(y[test]) == set(y)

    def test_share_of_every_class(self):
        y = np.repeat(["a", "b", "c"], [50, 100, 200])
        _, test = hold_out(y, np.arange(350), test_size=0.2, seed=3)
        assert [np.sum(y[test] == c) for c in "abc"] == [10, 20, 40]

    def test_class_of_one_group_is_trained_on(self):
        y = np.array(["a"] * 6 + ["b"] * 6)
        train, test = hold_out(y, [1] * 6 + [2, 3, 4, 5, 6, 7], test_size=0.3, seed=0)
        assert set(y[train]) == {"a", "b"}
        assert set(y[test]) == {"b"}

    def test_class_of_two_large_groups_is_on_both_sides(self):
        y = np.array(["a"] * 20 + ["b"] * 20)
        _, test = hold_out(y, [1] * 10 + [2] * 10 + list(range(3, 23)), test_size=0.1, seed=0)
        assert set(y[test]) == {"a", "b"}

    def test_one_group(self):
        with pytest.raises(DatasetError, match=r"at least two groups. All 2 clips belong to 'x'"):
            hold_out(["a", "b"], ["x", "x"], test_size=0.5, seed=0)


class TestRefusals:
    @pytest.mark.parametrize("protocol", ["group", "random"])
    def test_class_with_too_few_clips(self, protocol):
        labels = ["a"] * 10 + ["b"] * 3
        with pytest.raises(
            DatasetError, match=r"at least 6 groups.*'b' has 3 clips in 3 groups.*fewer folds"
        ):
            make_split(
                list(map(str, range(13))),
                labels,
                list(map(str, range(13))),
                SplitSettings(protocol, n_splits=5),
            )

    def test_class_with_too_few_groups(self):
        labels, groups = ["a"] * 20 + ["b"] * 20, list(map(str, range(20))) + ["x", "y"] * 10
        with pytest.raises(DatasetError, match="'b' has 20 clips in 2 groups"):
            grouped_folds(labels, groups, n_splits=5, seed=0)

    @pytest.mark.parametrize("test_size", [0.2, 0.0])
    def test_a_rare_tag_has_its_name(self, test_size):
        labels = ["rock;live", *["rock", "jazz"] * 6]
        with pytest.raises(DatasetError, match=r"'live' has 1 clip in 1 group\."):
            make_split(
                list(map(str, range(13))),
                labels,
                list(map(str, range(13))),
                SplitSettings(test_size=test_size),
            )

    def test_long_lists_are_cut_rarest_first(self):
        y = np.repeat(list("abcde"), [4, 4, 4, 4, 2])
        with pytest.raises(
            DatasetError, match=r"'e' has 2 clips in 2 groups, 'a' has .*, 'b' has .*, and 2 more classes"
        ):
            grouped_folds(y, np.arange(18), n_splits=5, seed=0)

    def test_one_class(self):
        with pytest.raises(DatasetError, match=r"two classes.*1"):
            make_split(list("stuv"), ["a"] * 4, list("stuv"))

    def test_group_that_spans_a_class(self):
        labels, groups = ["a"] * 10 + ["b"] * 10, list(map(str, range(10))) + ["queen"] * 10
        with pytest.raises(DatasetError, match="'queen' holds all 10 clips of 'b'"):
            make_split(list(map(str, range(20))), labels, groups)

    def test_fewer_groups_than_folds(self):
        with pytest.raises(DatasetError, match="2 groups for 3 folds"):
            grouped_folds(["a", "b"] * 2, [1, 1, 2, 2], n_splits=3, seed=0)

    def test_settings(self):
        with pytest.raises(ConfigError, match="Did you mean 'group'"):
            make_split(["x"], ["a"], ["x"], SplitSettings("groups"))
        with pytest.raises(ConfigError, match="at least 2 folds"):
            grouped_folds(["a", "b"], [1, 2], n_splits=1, seed=0)
        with pytest.raises(ConfigError, match=r"\[0, 1\)"):
            make_split(list("stuv"), ["a", "b"] * 2, list("stuv"), SplitSettings(test_size=1.0))

    def test_require_disjoint_names_the_groups(self):
        with pytest.raises(SplitLeakError, match="train and test there are 1 on both: queen") as caught:
            require_disjoint(["queen", "kinks"], ["who", "queen"], where="train and test")
        assert caught.value.groups == ("queen",)


@pytest.fixture
def corpus():
    """Sixty clips of three classes by fifteen artists."""
    rng = np.random.default_rng(0)
    ids = [f"clip{k:02d}" for k in range(60)]
    labels = [f"class{k % 3}" for k in range(60)]
    return ids, labels, [f"artist{(k % 3) * 5 + rng.integers(0, 5)}" for k in range(60)]


class TestMakeSplit:
    def test_group_protocol(self, corpus):
        split = make_split(*corpus, SplitSettings(n_splits=3))
        groups = split.frame["group"].to_numpy()
        assert split.grouped
        assert not set(groups[split.train]) & set(groups[split.test])
        assert split.frame["id"].tolist() == corpus[0]
        assert sorted(np.concatenate([valid for _, valid in split.folds()])) == split.train.tolist()
        assert set(split.frame["label"][split.test]) == {"class0", "class1", "class2"}

    def test_random_protocol_ignores_groups_and_is_marked_ungrouped(self, corpus):
        split = make_split(*corpus, SplitSettings("random"))
        groups = split.frame["group"].to_numpy()
        assert set(groups[split.train]) & set(groups[split.test])
        assert not split.grouped

    def test_unknown_groups_are_not_grouped(self, corpus):
        assert not make_split(corpus[0], corpus[1], corpus[0]).grouped
        assert not make_split(*corpus, grouped=False).grouped

    def test_folds_follow_the_rarest_class(self, corpus):
        assert make_split(*corpus).n_folds == 4  # five artists a class, one of them in the test
        assert make_split(*corpus, SplitSettings(test_size=0)).n_folds == 5
        assert len(make_split(*corpus, SplitSettings(test_size=0)).test) == 0

    def test_row_order_does_not_matter(self, corpus):
        order = np.random.default_rng(1).permutation(60)
        shuffled = [[column[k] for k in order] for column in corpus]
        for protocol in ("group", "random"):
            a, b = (
                make_split(*corpus, SplitSettings(protocol)),
                make_split(*shuffled, SplitSettings(protocol)),
            )
            assert a.digest == b.digest
            pd.testing.assert_frame_equal(a.frame.iloc[order].reset_index(drop=True), b.frame)

    def test_seed_changes_the_digest(self, corpus):
        assert (
            make_split(*corpus, SplitSettings(seed=0)).digest
            == make_split(*corpus, SplitSettings(seed=0)).digest
        )
        assert (
            make_split(*corpus, SplitSettings(seed=0)).digest
            != make_split(*corpus, SplitSettings(seed=1)).digest
        )

    def test_label_sets(self, corpus):
        ids, labels, groups = corpus
        sets = [f"{label};live" if k % 2 else label for k, label in enumerate(labels)]
        split = make_split(ids, sets, groups, SplitSettings(n_splits=3))
        live = split.frame["label"].str.contains("live")
        assert 0.35 < live[split.test].mean() < 0.65


class TestGiven:
    def test_parts_are_taken_as_given(self):
        given = ["train", "Training", "val", "validation", "test", None, "train", "test"]
        split = make_split(
            list("abcdefgh"), ["x", "y"] * 4, list("abcdefgh"), SplitSettings("given"), given=given
        )
        assert split.frame["part"].tolist() == [
            "train",
            "train",
            "train",
            "train",
            "test",
            "unused",
            "train",
            "test",
        ]
        assert split.valid.tolist() == [2, 3]
        assert [(t.tolist(), v.tolist()) for t, v in split.folds()] == [([0, 1, 6], [2, 3])]

    def test_without_valid_the_training_part_is_folded(self, corpus):
        given = ["test" if group.endswith("0") else "train" for group in corpus[2]]
        split = make_split(*corpus, SplitSettings("given", n_splits=3), given=given)
        assert split.n_folds == 3
        assert split.grouped

    def test_leak_in_the_given_split(self, corpus):
        with pytest.raises(SplitLeakError, match="the given train and test parts"):
            make_split(*corpus, SplitSettings("given"), given=["train", "test"] * 30)

    @pytest.mark.parametrize(
        ("given", "match"),
        [(["train", "tset"], "Received also: tset"), (["train", "valid"], "must have a test part")],
    )
    def test_bad_columns(self, given, match):
        with pytest.raises(DatasetError, match=match):
            make_split(["a", "b"], ["x", "y"], ["a", "b"], SplitSettings("given"), given=given)

    def test_no_column(self):
        with pytest.raises(ConfigError, match="needs a split column"):
            make_split(["a", "b"], ["x", "y"], ["a", "b"], SplitSettings("given"))


class TestOnDisk:
    def test_round_trip(self, corpus, tmp_path):
        split = make_split(*corpus)
        split.write(tmp_path / "deep/split.parquet")
        back = Split.read(tmp_path / "deep/split.parquet")
        pd.testing.assert_frame_equal(split.frame, back.frame, check_dtype=False)
        assert (back.protocol, back.seed, back.grouped, back.digest) == (
            split.protocol,
            split.seed,
            split.grouped,
            split.digest,
        )
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["split.parquet"]

    @pytest.mark.parametrize("column", ["label", "group", "part", "fold"])
    def test_changed_file_is_refused(self, corpus, tmp_path, column):
        path = tmp_path / "split.parquet"
        make_split(*corpus, SplitSettings("random")).write(path)
        table = pq.read_table(path)
        frame = table.to_pandas()
        if column == "part":
            frame.loc[frame.index[0], ["part", "fold"]] = ["unused", -1]
        else:
            frame.loc[frame["fold"] == 0, column] = 1 if column == "fold" else "other"
        pq.write_table(
            table.from_pandas(frame, preserve_index=False).replace_schema_metadata(table.schema.metadata),
            path,
        )
        with pytest.raises(ArtefactError, match="was changed"):
            Split.read(path)

    def test_leak_in_a_file_is_refused(self, corpus):
        frame = make_split(*corpus).frame.copy()
        frame.loc[frame["part"] == "test", "group"] = frame.loc[frame["part"] == "train", "group"].iloc[0]
        with pytest.raises(SplitLeakError, match="the training and the test part"):
            Split(frame, "group", 0, grouped=True)

    def test_other_files_are_refused(self, tmp_path):
        (tmp_path / "split.parquet").write_text("no")
        with pytest.raises(ArtefactError, match="cannot be read"):
            Split.read(tmp_path / "split.parquet")
        pd.DataFrame({"id": ["a"]}).to_parquet(tmp_path / "other.parquet")
        with pytest.raises(ArtefactError, match="of version none"):
            Split.read(tmp_path / "other.parquet")

    @pytest.mark.parametrize("key", ["protocol", "seed", "grouped", "digest"])
    def test_a_file_that_lacks_a_fact_is_refused(self, corpus, tmp_path, key):
        path = tmp_path / "split.parquet"
        make_split(*corpus, SplitSettings("random")).write(path)
        table = pq.read_table(path)
        metadata = {k: v for k, v in table.schema.metadata.items() if not k.endswith(key.encode())}
        pq.write_table(table.replace_schema_metadata(metadata), path)
        with pytest.raises(ArtefactError):
            Split.read(path)

    def test_a_small_file_does_not_become_a_large_split(self, corpus, tmp_path):
        path = tmp_path / "split.parquet"
        split = make_split(*corpus, SplitSettings("random"))
        split.write(path)
        many = pa.table({"fold": pa.repeat(pa.scalar(0), 50_000_000)})
        pq.write_table(many.replace_schema_metadata(pq.read_schema(path).metadata), path)
        with pytest.raises(ArtefactError, match="much larger"):
            Split.read(path)

    def test_impossible_frames(self):
        row = {"id": "a", "label": "x", "group": "g", "part": "train", "fold": 0}
        for frame, match in [
            (pd.DataFrame([row, row]), "stands there twice"),
            (pd.DataFrame([{**row, "part": "tset"}]), "must be in one of"),
            (pd.DataFrame([{**row, "fold": -1}]), "a fold in the training part only"),
            (pd.DataFrame([{"id": "a"}]), "must have the columns"),
        ]:
            with pytest.raises(DatasetError, match=match):
                Split(frame, "group", 0)
