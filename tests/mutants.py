"""One-line sabotages of the code, each of which must turn a named test red: `make mutants`.

A row of `MUTANTS` is (file, text that stands once in the file, replacement, test that must fail). Each
sabotage is done in a copy of the tree; two copies work at the same time. `tests/test_structure.py` checks
that every text still stands in its file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FEATURES, AUDIO = "quintet/features", "quintet/audio"

MUTANTS: tuple[tuple[str, str, str, str], ...] = (
    (
        "quintet/explanation/members.py",
        "return max(self.members.values(), key=lambda member: self.share(member.name))",
        'return self.members.get("xgboost") or list(self.members.values())[-1]',
        "tests/explanation/test_decisive.py",
    ),
    (f"{AUDIO}/spectrum.py", 'mode="constant"', 'mode="reflect"', "tests/audio/test_spectrum.py"),
    (
        f"{AUDIO}/mel.py",
        "2.0 / (edges[2:] - edges[:-2])",
        "1.0 / (edges[2:] - edges[:-2])",
        "tests/audio/test_mel.py",
    ),
    (
        f"{AUDIO}/reading/native.py",
        "missing > slack_s * sample_rate",
        "missing > 1e9 * sample_rate",
        "tests/audio/test_decode.py",
    ),
    (
        f"{AUDIO}/reading/soundfile_reader.py",
        "decoder.seek(target + file.delay) - file.delay",
        "target",
        "tests/audio/test_decode.py",
    ),
    (
        f"{AUDIO}/reading/mpeg.py",
        "return not (tag_is_right and self.n_streams == 1 and self.begins_clean)",
        "return False",
        "tests/audio/reading/test_lengths.py",
    ),
    (
        f"{FEATURES}/descriptors/parts.py",
        "kept = max(end - FRAMES // 2, 0)",
        "kept = max(end - 2, 0)",
        "tests/features/descriptors/test_parts.py -k any_length",
    ),
    (
        "quintet/training/blocks/kernels.py",
        "whole - log_chance + log_concentration",
        "whole - log_chance",
        "tests/training/blocks/test_source_moves.py",
    ),
    (
        "quintet/training/data.py",
        'return "group" if grouped else "sound"',
        'return "group"',
        "tests/training/blocks/test_sound_protocol.py -k suits",
    ),
    (
        "quintet/library/scanning/predict_songs.py",
        "self.library.write_activations(VERDICT, _wide(verdicts))",
        "self.library.write_activations(VERDICT, _wide(before))",
        "tests/library/test_predict_songs.py -k just_written",
    ),
    (
        f"{FEATURES}/descriptors/spectral.py",
        "reached = cumulated >= roll_percent",
        "reached = cumulated > 0.99",
        "tests/features/descriptors/test_spectral.py",
    ),
    (
        f"{FEATURES}/descriptors/masking_floor.py",
        "int(BANDWIDTH * half)",
        "half",
        "tests/features/test_describe.py",
    ),
    (
        f"{FEATURES}/analysis.py",
        "band = band.with_noise(masking_floor(mean_power(band), settings.masking_floor_db))",
        "pass",
        "tests/features/test_describe.py",
    ),
    (
        f"{FEATURES}/statistics.py",
        "m.shape(4, normal=3.0, resolution=r)",
        "m.shape(4, normal=0.0, resolution=r)",
        "tests/features/test_statistics.py",
    ),
    (
        f"{FEATURES}/descriptors/rhythm.py",
        "np.log2(bpm / START_BPM) ** 2",
        "0",
        "tests/features/descriptors/test_rhythm.py",
    ),
    (
        f"{FEATURES}/descriptors/tonal.py",
        "np.roll(bumps, -3",
        "np.roll(bumps, -2",
        "tests/features/descriptors/test_tonal.py",
    ),
    (
        f"{FEATURES}/descriptors/modulation.py",
        "/ np.sum(window**2)",
        "/ length",
        "tests/features/descriptors/test_modulation.py",
    ),
    (
        "quintet/datasets/groups.py",
        "    if shared:",
        "    if False:",
        "tests/datasets/splits/test_splits.py",
    ),
    (
        "quintet/files/untrusted/listed_files.py",
        "            if digest.hexdigest() != record.digest:",
        "            if False:",
        "tests/model_folder/test_attacks.py -k flipped_bit",
    ),
    (
        "quintet/ensemble/novelty.py",
        "Distance.fit(table[train], y[train])",
        "Distance.fit(table, y)",
        "tests/ensemble/test_novelty.py",
    ),
    (
        "quintet/ensemble/conformal.py",
        "SLOPE = 2.0",
        "SLOPE = 0.0",
        "tests/ensemble/test_novelty.py",
    ),
    (
        "quintet/ensemble/classifier.py",
        "and len(plan.folds) > 2:",
        "and False:",
        "tests/ensemble/test_classifier.py -k chosen_without",
    ),
    (
        "quintet/ensemble/support.py",
        "return validation.class_share * n_units",
        "return n_units",
        "tests/ensemble/test_support.py",
    ),
    (
        "quintet/ensemble/model_selection/penalties.py",
        "losses_after_calibration(labelled.take(train))",
        "losses_after_calibration(labelled)",
        "tests/ensemble/test_model_selection.py -k without_the_fold",
    ),
    (
        "quintet/classifiers/tabular/preparation.py",
        "np.intersect1d(candidates, columns)",
        "candidates",
        "tests/classifiers/test_views.py -k other_columns",
    ),
    (
        "quintet/ensemble/crossfit.py",
        "held_out = inputs.take(valid)",
        "held_out = inputs.take(train[: len(valid)])",
        "tests/e2e/test_main_job.py -k leak_gate",
    ),
    (
        "quintet/reports/style.py",
        "text.set_parse_math(False)",
        "pass",
        "tests/e2e/test_main_job.py -k odd_names",
    ),
    (
        "quintet/explanation/refits.py",
        'np.flatnonzero(split["fold"] != fold)',
        "np.arange(len(split))",
        "tests/explanation/test_members.py -k refitted",
    ),
    (
        "quintet/explanation/assembly.py",
        "fuse = _fusion_without(run, order, part.fold).apply",
        "fuse = Fusion.from_json(rule).apply",
        "tests/explanation/test_members.py -k given_out_of_fold",
    ),
    (
        "quintet/explanation/shapley/coalitions.py",
        "predict(model, hybrids)[:, :, 1]",
        "predict(model, hybrids)[:, :, 0]",
        "tests/explanation/test_members.py -k two_class",
    ),
    (
        "quintet/explanation/shapley/family_shapley.py",
        "comb(k - 1, size)",
        "comb(k, size)",
        "tests/explanation/test_family_shapley.py -k all_orders",
    ),
    (
        "quintet/explanation/shapley/arrays.py",
        "(nodes + 1) / 2, weights / 2",
        "(nodes + 1) / 2, weights",
        "tests/explanation/test_tree_shap.py",
    ),
    (
        "quintet/reports/sections/maps.py",
        'table["part"] == part',
        'table["part"] != part',
        "tests/reports/test_maps.py -k never_saw",
    ),
    (
        "quintet/training/data.py",
        'table.frame.sort_values("id", kind="stable", ignore_index=True)',
        "table.frame",
        "tests/e2e/test_main_job.py -k odd_names",
    ),
    (
        "quintet/classifiers/spectrogram/targets.py",
        "tag_weights(targets[learners])",
        "tag_weights(targets)",
        "tests/classifiers/spectrogram/test_targets.py",
    ),
    (
        "quintet/classifiers/spectrogram/patches.py",
        "clips.window(int(i), first + start,",
        "clips.window(int(i), start,",
        "tests/classifiers/spectrogram/test_patches.py",
    ),
    (
        "quintet/classifiers/spectrogram/fitting.py",
        "range(progress.epoch, settings.epochs)",
        "range(settings.epochs)",
        "tests/classifiers/spectrogram/test_classifier.py -k killed",
    ),
    (
        "quintet/frozen/trees.py",
        "value <= threshold if self.inclusive",
        "value < threshold if self.inclusive",
        "tests/frozen/test_scorers.py -k left",
    ),
    (
        "quintet/frozen/trees.py",
        "outside = (children <= here)",
        "outside = (children < -1)",
        "tests/frozen/test_scorers.py -k outside_themselves",
    ),
    (
        "quintet/frozen/network.py",
        "if n_bytes > limits.ACTIVATION_BYTES or",
        "if",
        "tests/frozen/test_network.py -k huge",
    ),
    (
        "quintet/model_folder/frozen_files.py",
        "if not difference <= tolerance:",
        "if difference > 1:",
        "tests/frozen/test_folder.py -k differs",
    ),
    (
        "quintet/inference/describe.py",
        "if parameters.hash != bundle",
        "if False and bundle",
        "tests/e2e/test_main_job.py -k another_making",
    ),
    (
        "quintet/training/train.py",
        'if earlier.get("hash") == config["hash"]:',
        "if True:",
        "tests/e2e/test_main_job.py -k interrupted",
    ),
    (
        "quintet/embeddings/musicnn_graph.py",
        "np.concatenate([weights[self.computed], ones[None]])",
        "np.concatenate([weights[self.computed], 0 * ones[None]])",
        "tests/embeddings/test_musicnn_graph.py",
    ),
)


Mutant = tuple[str, str, str, str]
N_WORKERS = 2
LAST_LINES = 12
"""Lines of a test's output that are shown if it proves nothing."""


class Verdict(NamedTuple):
    """What a named test said of a sabotage.

    Args:
        word: "killed" if it failed, "SURVIVED" if it passed, "NO TEST" if it did not come to an end or the
            text stands not once in its file.
        reason: the end of the test's output; empty if it failed.
    """

    word: str
    reason: str = ""

    @property
    def killed(self) -> bool:
        """Whether the test turned red."""
        return self.word == "killed"


def judge(tree: Path, mutant: Mutant) -> Verdict:
    """Run the named test with the sabotage in place.

    Exit code 1 of pytest means that tests failed, 0 that they passed. Others (2: not collected, 5: no test,
    negative: ended by the system) prove nothing, so the test runs once more.
    """
    file, before, after, test = mutant
    path = tree / file
    original = path.read_text(encoding="utf-8")
    if original.count(before) != 1:
        return Verdict(
            "NO TEST", f"the text must stand once in the file; it stands {original.count(before)} times"
        )
    path.write_text(original.replace(before, after), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    folder = tree / "pytest-files"  # of its own: two runs that share one delete each other's files
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--basetemp={folder}"]
    command = [sys.executable, "-m", "pytest", *options, *test.split()]
    for _ in range(2):
        result = subprocess.run(
            command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if result.returncode in (0, 1):
            break
    path.write_text(original, encoding="utf-8")
    if result.returncode == 1:
        return Verdict("killed")
    lines = result.stdout.splitlines()[-LAST_LINES:]
    word = "SURVIVED" if result.returncode == 0 else "NO TEST"
    return Verdict(word, "\n".join([*lines, f"exit code {result.returncode}"]))


def copy_tree() -> Path:
    """A copy of what the tests need, in a temporary folder."""
    tree = Path(tempfile.mkdtemp(prefix="quintet-mutants-"))
    for name in ("quintet", "tests", "recipes", "docs", "benchmarks"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("pyproject.toml", "requirements.lock", "README.md", "Makefile"):
        shutil.copy(ROOT / name, tree)
    return tree


def main() -> None:
    """Run the sabotages whose file contains an argument (default: all). Exit code 1 if any is not killed."""
    wanted = sys.argv[1:]
    mutants = [row for row in MUTANTS if not wanted or any(part in row[0] for part in wanted)]
    trees = [copy_tree() for _ in range(N_WORKERS)]
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def run(mutant: Mutant) -> Verdict:
        tree = free.get()
        verdict = judge(tree, mutant)
        free.put(tree)
        print(f"{verdict.word:8}  {_line(mutant)}", flush=True)
        return verdict

    with ThreadPoolExecutor(N_WORKERS) as pool:
        verdicts = list(pool.map(run, mutants))
    for tree in trees:
        shutil.rmtree(tree, ignore_errors=True)
    for mutant, verdict in zip(mutants, verdicts, strict=True):
        if not verdict.killed:
            print(f"\n{verdict.word}  {_line(mutant)}\n{verdict.reason}")
    n_killed = sum(verdict.killed for verdict in verdicts)
    print(f"{n_killed} of {len(mutants)} sabotages turned their test red")
    raise SystemExit(0 if n_killed == len(mutants) else 1)


def _line(mutant: Mutant) -> str:
    file, before, after, test = mutant
    return f"{file}: {before.strip()[:60]} → {after.strip()[:60]}   [{test}]"


if __name__ == "__main__":
    main()
