"""The synthesis: properties that instruments, rooms and scales have by definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from quintet.datasets.demo.artists import draw_artist, draw_artists
from quintet.datasets.demo.drums import drum_kit
from quintet.datasets.demo.harmony import SCALES, chord, melody
from quintet.datasets.demo.instruments import INSTRUMENTS
from quintet.datasets.demo.mixing import EQ_BANDS, Room, apply_eq_and_room, draw_room, saturate_and_quantise
from quintet.datasets.demo.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS, notes
from quintet.datasets.demo.piece import choose, write
from quintet.datasets.demo.sound import RATE, oscillate
from quintet.datasets.demo.styles import STYLES


def rng():
    return np.random.default_rng(0)


def magnitude(wave):
    """Hann-windowed magnitude spectrum of one second: bins are Hz."""
    return np.abs(np.fft.rfft(wave[:RATE] * np.hanning(RATE)))


class TestSound:
    @pytest.mark.parametrize("kind", ["saw", "square", "triangle", "organ", "sine"])
    def test_waves_are_band_limited(self, kind):
        """Nothing lies between the harmonics of 3,000 Hz, where aliased partials would be."""
        spectrum = magnitude(oscillate(kind, 3_000, RATE))
        harmonic = np.zeros(len(spectrum), bool)
        for k in (3_000, 6_000, 9_000):
            harmonic[k - 3 : k + 4] = True
        assert spectrum[~harmonic].max() < 2e-3 * spectrum.max()

    def test_saw_has_all_partials_and_square_the_odd_ones(self):
        saw, square = magnitude(oscillate("saw", 500, RATE)), magnitude(oscillate("square", 500, RATE))
        assert saw[500] / saw[1_000] == pytest.approx(2, rel=0.01)
        assert saw[500] / saw[1_500] == pytest.approx(3, rel=0.01)
        assert square[1_000] < 0.01 * square[500]

    def test_vibrato_keeps_the_mean_frequency(self):
        assert np.argmax(magnitude(oscillate("sine", 440, RATE, vibrato=0.002))) == pytest.approx(440, abs=1)


class TestInstruments:
    @pytest.mark.parametrize("name", INSTRUMENTS)
    @pytest.mark.parametrize("frequency", [110.0, 523.0])
    def test_every_instrument_plays_in_tune(self, name, frequency):
        """The strongest frequency is a harmonic (of half the pitch for the guitar that adds a fifth)."""
        spectrum = magnitude(INSTRUMENTS[name](frequency, RATE, rng()))
        root = frequency / 2 if name == "overdriven_guitar" else frequency
        ratio = np.argmax(spectrum) / root
        assert round(ratio) >= 1
        assert abs(np.argmax(spectrum) - round(ratio) * root) < 1.5 + 0.006 * frequency  # ten cents and a bin

    @pytest.mark.parametrize("name", INSTRUMENTS)
    def test_every_instrument_starts_and_stops_without_a_click(self, name):
        wave = INSTRUMENTS[name](220.0, RATE // 2, rng())
        assert len(wave) == RATE // 2
        assert np.isfinite(wave).all()
        assert 0.2 < np.abs(wave).max() < 2
        assert abs(wave[0]) < 0.01
        assert abs(wave[-1]) < 0.01

    def test_strings_lose_their_treble_first(self):
        wave = INSTRUMENTS["guitar"](220.0, 2 * RATE, rng())
        early, late = magnitude(wave), magnitude(wave[RATE:])

        def treble(spectrum):
            return spectrum[1_740:1_780].max() / spectrum[215:225].max()

        assert treble(late) < 0.5 * treble(early)

    def test_kits_are_audible_and_differ(self):
        kit, other = drum_kit(rng()), drum_kit(np.random.default_rng(1))
        assert {len(kit), len(other)} == {8}
        assert all(np.isfinite(wave).all() and 0.1 < np.abs(wave).max() < 3 for wave in kit.values())
        assert (
            np.argmax(np.abs(np.fft.rfft(kit["kick"], RATE)))
            < 200
            < 2_000
            < np.argmax(np.abs(np.fft.rfft(kit["hat"], RATE)))
        )


class TestHarmony:
    @pytest.mark.parametrize("scale", SCALES)
    def test_chords_lie_in_the_scale_near_the_given_note(self, scale):
        for degree in range(7):
            notes_ = chord(62, scale, degree, voices=4, near=60)
            assert len(notes_) == 4
            assert all((note - 62) % 12 in SCALES[scale] for note in notes_)
            assert all(54 <= note < 66 for note in notes_)

    def test_melody_repeats_its_rhythm_and_never_overlaps(self):
        tune = melody(7, [0, 3, 4, 0], density=0.6, rng=rng())
        bars: list[list[int]] = [[], [], [], []]
        for step, _, _ in tune:
            bars[step // 16].append(step % 16)
        assert bars[0] == bars[1] == bars[2] == bars[3]
        assert all(start + length <= following for (start, length, _), (following, _, _) in pairwise(tune))


class TestPatterns:
    def test_a_bar_has_sixteen_steps(self):
        lines = [line for pattern in DRUM_PATTERNS.values() for line in pattern.values()]
        assert {len(line) for line in [*lines, *BASS_PATTERNS.values(), *CHORD_PATTERNS.values()]} == {16}
        assert {mark for line in lines for mark in line} == {"x", "o", "."}

    @pytest.mark.parametrize("style", STYLES)
    def test_ingredients_of_styles_exist(self, style):
        s = STYLES[style]
        assert set(s.scales) <= set(SCALES)
        assert set(s.drums) <= set(DRUM_PATTERNS)
        assert set(s.bass) <= set(BASS_PATTERNS)
        assert set(s.chords) <= set(CHORD_PATTERNS)
        assert {*s.bass_sounds, *s.chord_sounds, *s.lead_sounds} <= set(INSTRUMENTS)
        assert s.tempo[0] < s.tempo[1]

    def test_notes_never_overlap_on_the_grid(self):
        for pattern in [*BASS_PATTERNS.values(), *CHORD_PATTERNS.values()]:
            written = list(notes(pattern))
            assert all(a + n <= b for (a, n, _), (b, _, _) in pairwise(written))


class TestMixing:
    def test_flat_equaliser_without_room_changes_nothing(self):
        wave = rng().standard_normal(10_000)
        out = apply_eq_and_room(wave, np.zeros(len(EQ_BANDS)), Room(draw_room(rng()).response, 0.0))
        np.testing.assert_allclose(out, wave, atol=1e-12)

    def test_equaliser_raises_a_band_by_its_gain(self):
        """6.02 dB at the band of 1,000 Hz doubles a tone of 1,000 Hz and leaves one of 60 Hz."""
        gains = np.where(np.array(EQ_BANDS) == 1_000, 20 * np.log10(2), 0.0)
        dry = Room(np.zeros(10), 0.0)
        for frequency, gain in ((1_000, 2.0), (60, 1.0)):
            tone = np.sin(2 * np.pi * frequency * np.arange(2 * RATE) / RATE)
            middle = slice(RATE // 2, RATE)
            assert apply_eq_and_room(tone, gains, dry)[middle].std() == pytest.approx(
                gain * tone[middle].std(), rel=0.01
            )

    def test_room_answers_a_click_with_its_response(self):
        room = draw_room(rng())
        click = np.zeros(len(room.response) + 10)
        click[0] = 1.0
        out = apply_eq_and_room(click, np.zeros(len(EQ_BANDS)), room)
        np.testing.assert_allclose(out[1 : len(room.response)], room.amount * room.response[1:], atol=1e-12)
        assert np.sum(room.response**2) == pytest.approx(1)

    def test_saturation_sets_the_level_and_never_clips(self):
        out = saturate_and_quantise(
            rng().standard_normal(RATE), drive=1.0, hiss_db=-60, rms_db=-20, rng=rng()
        )
        assert out.dtype == np.int16
        assert out.std() == pytest.approx(3_276.7, rel=0.01)
        sparse = np.zeros(RATE)
        sparse[::2_000] = 1.0
        assert np.abs(
            saturate_and_quantise(sparse, drive=0.1, hiss_db=-60, rms_db=-17, rng=rng()).astype(int)
        ).max() == pytest.approx(0.98 * 32_767, abs=1)


class TestArtists:
    def test_an_artist_does_not_depend_on_earlier_draws(self):
        assert draw_artist(3, 7, "rock").name == draw_artists(3)[7].name
        np.testing.assert_array_equal(draw_artist(3, 7, "rock").kit["snare"], draw_artists(3)[7].kit["snare"])

    def test_names_are_unique(self):
        assert len({artist.name for artist in draw_artists(0)}) == 24

    def test_duration_does_not_identify_a_style(self):
        """Mean durations of 150 pieces of each style differ by less than four standard errors."""
        artist = draw_artist(0, 0, "rock")
        means = [
            np.mean([choose(style, artist, np.random.default_rng([s, k])).duration_s for k in range(150)])
            for s, style in enumerate(STYLES.values())
        ]
        assert np.ptp(means) < 4 * np.sqrt(2) * (4 / np.sqrt(12)) / np.sqrt(150)

    @pytest.mark.parametrize("style", STYLES)
    def test_scores_stay_in_reach(self, style):
        for number in range(10):
            generator = np.random.default_rng(number)
            score = write(choose(STYLES[style], draw_artist(0, number, style), generator), 5, generator)
            assert all(0 <= step < 80 and 24 <= midi <= 100 for _, step, _, midi, _ in score.notes)
            assert all(0 <= step < 80 for _, step, _ in score.hits)
