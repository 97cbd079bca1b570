"""Tempo, key and energy: closed forms, metamorphic relations, patterns and pieces whose answers are known."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from quintet.audio.clip import Clip
from quintet.features.describe import describe
from quintet.features.parameters import FeatureParameters
from quintet.library.sound import pitch_classes
from quintet.library.sound.answers import sound_answers
from quintet.library.sound.energy import PARTS, find_energy
from quintet.library.sound.key import MAJOR, MINOR, PITCH_CLASSES, find_key, key_correlations
from quintet.library.sound.pitch_classes import PitchClasses
from quintet.library.sound.tempo import BPM_RANGE, Tempo, find_tempo

PARAMETERS = FeatureParameters()
FRAMES_PER_S = PARAMETERS.log_mel.sample_rate / PARAMETERS.log_mel.hop_length


def load_patterns() -> ModuleType:
    spec = util.spec_from_file_location("patterns", Path(__file__).with_name("patterns.py"))
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clicks(bpm: float, seconds: float = 20.0) -> np.ndarray:
    """A log-mel spectrogram with a click on each beat, spread over two frames as its time demands."""
    levels = np.full((int(seconds * FRAMES_PER_S), 96), -80.0)
    for beat in np.arange(0.1, seconds - 0.2, 60 / bpm):
        frame = beat * FRAMES_PER_S
        levels[int(frame)] = np.maximum(levels[int(frame)], -80 + 60 * (1 - frame % 1))
        levels[int(frame) + 1] = -80 + 60 * (frame % 1)
    return levels


@pytest.mark.parametrize("bpm", [72.0, 100.0, 133.0])
def test_tempo_of_clicks_is_theirs_or_a_multiple(bpm: float) -> None:
    tempo = find_tempo(clicks(bpm), FRAMES_PER_S)
    assert tempo is not None
    ratio = tempo.bpm / bpm
    assert min(abs(ratio / k - 1) for k in (0.5, 1, 2)) < 0.01


def test_tempo_does_not_depend_on_level() -> None:
    levels = clicks(96.0)
    assert find_tempo(levels, FRAMES_PER_S) == find_tempo(levels - 20.0, FRAMES_PER_S)


def test_no_tempo_without_onsets_or_in_short_clips() -> None:
    assert find_tempo(np.full((1000, 96), -30.0), FRAMES_PER_S) is None
    assert find_tempo(clicks(120.0, 3.0), FRAMES_PER_S) is None


def test_tempo_of_noise_is_uncertain() -> None:
    levels = np.random.default_rng(0).normal(-40, 5, (900, 96))
    tempo = find_tempo(levels, FRAMES_PER_S)
    assert tempo is not None
    assert BPM_RANGE[0] * 0.97 < tempo.bpm < BPM_RANGE[1] * 1.03
    assert tempo.confidence < 0.9


def tempo_of(samples: np.ndarray, rate: int) -> Tempo | None:
    log_mel = describe(Clip(samples, rate, "x"), PARAMETERS, log_mel=True).log_mel
    assert log_mel is not None
    return find_tempo(log_mel.T.astype(np.float16), FRAMES_PER_S)


@pytest.mark.slow
def test_slow_backbeat_is_not_doubled() -> None:
    patterns = load_patterns()
    pattern = next(one for one in patterns.PATTERNS if one.bpm == 72)
    tempo = tempo_of(patterns.render(pattern)[: 15 * patterns.RATE], patterns.RATE)
    assert tempo is not None
    assert abs(tempo.bpm / 72 - 1) < 0.02


@pytest.mark.slow
def test_tempo_of_27_patterns() -> None:
    """At least 85 % are found within 4 %; librosa finds about half of them."""
    import librosa

    patterns = load_patterns()
    right = librosa_right = 0
    for pattern in patterns.PATTERNS:
        samples = patterns.render(pattern)
        tempo = tempo_of(samples, patterns.RATE)
        assert tempo is not None
        right += abs(tempo.bpm / pattern.bpm - 1) < 0.04
        found, _ = librosa.beat.beat_track(y=samples, sr=patterns.RATE)
        librosa_right += abs(float(np.ravel(found)[0]) / pattern.bpm - 1) < 0.04
    assert len(patterns.PATTERNS) == 27
    assert right >= 23
    assert librosa_right <= 15


@pytest.mark.slow
def test_tempo_and_key_of_the_demo_corpus() -> None:
    """On pieces of the corpus itself, whose tempo and key are known."""
    from quintet.datasets.demo.artists import draw_artists
    from quintet.datasets.demo.piece import choose, play, write
    from quintet.datasets.demo.sound import RATE
    from quintet.datasets.demo.styles import STYLES

    rng = np.random.default_rng(99)
    artists = draw_artists(3)
    right, keys, confident = [], [], []
    for k in range(48):
        style = list(STYLES)[k % len(STYLES)]
        own = [artist for artist in artists if artist.home == style]
        choice = choose(STYLES[style], own[k % len(own)], rng)
        bars = max(4, int(choice.duration_s * choice.tempo / 240) + 1)
        wave = np.asarray(play(write(choice, bars, rng), choice, own[k % len(own)], rng), np.float64)
        samples = (0.7 * wave / np.abs(wave).max()).astype(np.float32)
        from quintet.audio.resample import resample

        samples = resample(samples, orig_sr=RATE, target_sr=PARAMETERS.sample_rate)
        found = describe(Clip(samples, PARAMETERS.sample_rate, "x"), PARAMETERS, log_mel=True)
        assert found.log_mel is not None
        heard = classes_of(samples, PARAMETERS.sample_rate)
        answers = sound_answers(found.features, found.log_mel.T, FRAMES_PER_S, heard)
        right.append(abs(float(answers["tempo"] or 0) / choice.tempo - 1) < 0.04)
        if choice.scale in ("major", "minor"):
            keys.append(answers["key"] == f"{PITCH_CLASSES[choice.tonic % 12]} {choice.scale}")
            confident.append(float(answers["key_confidence"] or 0))
    assert np.mean(right) >= 0.8
    assert np.mean(keys) >= 0.65
    order = np.argsort(confident)
    half = len(keys) // 2
    assert np.mean(np.array(keys)[order[half:]]) > np.mean(np.array(keys)[order[:half]])


@pytest.mark.parametrize("tonic", range(12))
def test_key_turns_with_the_pitch_classes(tonic: int) -> None:
    for profile, mode in ((MAJOR, "major"), (MINOR, "minor")):
        key = find_key(np.roll(profile, tonic))
        assert key.name == f"{PITCH_CLASSES[tonic]} {mode}"
        assert key.runner_up != key.name
    correlations = key_correlations(np.roll(MAJOR, tonic))
    assert correlations.max() == pytest.approx(1.0)
    oracle = np.corrcoef(np.roll(MAJOR, tonic), np.roll(MINOR, 3))[0, 1]
    assert correlations[12 + 3] == pytest.approx(oracle)


def test_key_of_nothing_is_uncertain() -> None:
    assert find_key(np.ones(12)).confidence == pytest.approx(1 / 24, abs=1e-4)
    assert find_key(MINOR).confidence > 0.3


def classes_of(samples: np.ndarray, rate: int, block: int | None = None) -> np.ndarray:
    listener = PitchClasses()
    listener.begin(rate)
    for begin in range(0, len(samples), block or len(samples)):
        listener.add(samples[begin : begin + (block or len(samples))])
    return listener.values()


def chords(names: list[tuple[int, ...]], *, tuning: float = 0.0, rate: int = 22050) -> np.ndarray:
    """A second of each chord of MIDI notes, each note with six partials, as float32."""
    times = np.arange(rate) / rate
    seconds = []
    for notes in names:
        tones = [440.0 * 2 ** ((note + tuning - 69) / 12) for note in notes]
        partials = [np.sin(2 * np.pi * k * tone * times) / k for tone in tones for k in range(1, 7)]
        seconds.append(np.sum(partials, axis=0))
    return (0.1 * np.concatenate(seconds)).astype(np.float32)


CADENCES = {  # tonic triad, subdominant, dominant, tonic, above a bass
    "C major": [(36, 60, 64, 67), (41, 60, 65, 69), (43, 59, 62, 67), (36, 60, 64, 67)],
    "A minor": [(33, 57, 60, 64), (38, 57, 62, 65), (40, 56, 59, 64), (33, 57, 60, 64)],
}


@pytest.mark.parametrize("key", list(CADENCES))
@pytest.mark.parametrize("tuning", [0.0, 0.4, -0.35])
def test_cadences_have_their_key_in_any_tuning(key: str, tuning: float) -> None:
    found = find_key(classes_of(chords(CADENCES[key], tuning=tuning), 22050))
    assert found.name == key
    moved = [tuple(note + 5 for note in notes) for notes in CADENCES[key]]
    tonic, mode = key.split()
    fourth = PITCH_CLASSES[(PITCH_CLASSES.index(tonic) + 5) % 12]
    assert find_key(classes_of(chords(moved, tuning=tuning), 22050)).name == f"{fourth} {mode}"


def test_pitch_classes_of_a_bass_note_are_its_own() -> None:
    """A semitone above the lowest C of a bass: the frames of the features cannot tell the two apart."""
    heard = classes_of(np.sin(2 * np.pi * 69.3 * np.arange(44100) / 22050).astype(np.float32), 22050)
    assert heard[1] == pytest.approx(1.0, abs=1e-3)
    assert heard[6] == pytest.approx(0.6**2 / (1 + 0.6 + 0.6**3), abs=0.03)  # whose partial 3 it may be
    assert np.delete(heard, [1, 6]).max() < 0.1


def test_pitch_classes_do_not_depend_on_blocks_rate_or_level() -> None:
    one = chords(CADENCES["C major"])
    samples = np.tile(one, 13)
    whole = classes_of(samples, 22050)
    assert classes_of(samples, 22050, block=40_000) == pytest.approx(whole, abs=1e-6)
    short = classes_of(one, 22050)
    assert classes_of(one * np.float32(0.1), 22050) == pytest.approx(short, abs=1e-4)
    assert classes_of(chords(CADENCES["C major"], rate=44100), 44100) == pytest.approx(short, abs=0.05)


def test_pitch_classes_without_the_kernels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = chords(CADENCES["A minor"], tuning=0.2)
    compiled = classes_of(samples, 22050)
    monkeypatch.setattr(pitch_classes, "kernels_available", lambda: False)
    monkeypatch.setattr(pitch_classes, "find_peaks", None)
    assert classes_of(samples, 22050) == pytest.approx(compiled, abs=1e-3)


def test_silence_has_no_pitch_and_no_key() -> None:
    heard = classes_of(np.zeros(30000, np.float32), 22050)
    assert not heard.any()
    assert sound_answers({}, None, FRAMES_PER_S, heard)["key"] is None
    assert len(classes_of(np.ones(10, np.float32), 22050)) == 12


def test_a_long_recording_that_is_never_in_memory_has_the_same_pitch_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    from quintet.audio.decode import ClipSource
    from quintet.features.extraction import worker

    soundfile.write(tmp_path / "song.wav", chords(CADENCES["A minor"], rate=44100), 44100)
    job = worker.Job(PARAMETERS, log_mel=True, listen=PitchClasses)
    task = worker.ClipTask(0, ClipSource(str(tmp_path / "song.wav"), id="song"))
    whole = worker.describe_clip(task, job)
    monkeypatch.setattr(worker, "should_stream", lambda *_, **__: True)
    streamed = worker.describe_clip(task, job)
    assert whole.heard is not None
    assert streamed.heard == pytest.approx(whole.heard, abs=0.05)
    assert find_key(streamed.heard).name == find_key(whole.heard).name == "A minor"


def test_energy_is_the_stated_sum() -> None:
    middle = {part.feature: (part.low + part.high) / 2 for part in PARTS}
    middle["temporal.rms.mean"] = 10 ** (((PARTS[0].low + PARTS[0].high) / 2) / 20)
    energy = find_energy(middle)
    assert energy is not None
    assert energy.value == pytest.approx(0.5)
    assert energy.confidence == pytest.approx(1.0)
    louder = find_energy(middle | {"temporal.rms.mean": 1.0})
    assert louder is not None
    assert louder.value == pytest.approx(0.5 + 0.5 * PARTS[0].weight, abs=1e-4)
    assert louder.confidence < energy.confidence
    assert sum(part.weight for part in PARTS) == pytest.approx(1.0)
    assert find_energy({}) is None


def test_answers_without_a_spectrogram_or_pitch_classes() -> None:
    answers = sound_answers({}, None, FRAMES_PER_S, np.full(12, 0.5))
    assert answers["tempo"] is None
    assert answers["key"] is not None
    assert answers["energy"] is None
    assert sound_answers({}, None, FRAMES_PER_S)["key"] is None
