"""Files of weights: what h5py writes by default is read; what leads elsewhere or takes memory is refused."""

from __future__ import annotations

import io
from collections.abc import Callable

import h5py
import numpy as np
import pytest

from quintet.files.untrusted.hdf5 import read_weights


def written(change: Callable[[h5py.File], object]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["layers/dense/vars/0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        change(file)
    return content.getvalue()


def test_every_dataset_of_numbers_is_read() -> None:
    expected = {f"layers/layer_{k}/vars/0": np.full((k % 3, 2), k, np.float32) for k in range(300)}
    expected |= {
        "seed": np.arange(2, dtype=np.uint32),
        "scalar": np.float64(3),
        "half": np.ones(2, np.float16),
    }

    def fill(file: h5py.File) -> None:
        for name, values in expected.items():
            file[name] = values
        file.create_group("empty").attrs["name"] = "text"

    arrays = read_weights(written(fill))
    assert arrays.keys() == {*expected, "layers/dense/vars/0"}
    for name, values in expected.items():
        assert arrays[name].dtype == np.asarray(values).dtype
        np.testing.assert_array_equal(arrays[name], values)


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "values", (3,))
    file.create_virtual_dataset("virtual", layout)


def _dataset(shape: tuple[int, ...], **kwargs: object) -> Callable[[h5py.File], object]:
    return lambda file: file.create_dataset("more", shape, "f4", **kwargs)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda file: file.__setitem__("more", h5py.SoftLink("/layers")), "link"),
        (lambda file: file.__setitem__("more", h5py.ExternalLink("/etc/other.h5", "/x")), "link"),
        (lambda file: file.__setitem__("more", file["layers/dense/vars/0"]), "two names"),
        (lambda file: file.__setitem__("layers/more", file["/"]), "two names"),
        (_virtual, "one piece"),
        (_dataset((3,), external=[("/proc/self/environ", 0, 12)]), "external"),
        (_dataset((1 << 30, 1)), "none are stored"),
        (_dataset((1 << 20,), chunks=True), "one piece"),
        (_dataset((1 << 20,), compression="gzip"), "compressed"),
        (lambda file: file.__setitem__("more", "a text"), "neither integers nor floats"),
        (lambda file: file.__setitem__("more", np.zeros(2, [("a", "f4")])), "neither integers nor floats"),
        (lambda file: file.__setitem__("/".join("g" * 50), np.zeros(1)), "groups within groups"),
    ],
)
def test_what_leads_elsewhere_or_is_not_in_the_file_is_refused(
    change: Callable[[h5py.File], object], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        read_weights(written(change))


def test_a_file_of_another_version_is_refused() -> None:
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest") as file:
        file["x"] = np.ones(3)
    with pytest.raises(ValueError, match="by default"):
        read_weights(content.getvalue())


def test_any_changed_byte_is_read_or_refused_with_a_value_error() -> None:
    """Numbers are never more than the file has bytes for, whatever byte is changed."""
    data = written(lambda file: file.__setitem__("more/vars/0", np.ones(3, np.float32)))
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(2000):
        forged = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 4)):
            forged[position] = rng.choice([0, 1, 255, rng.integers(256)])
        try:
            arrays = read_weights(bytes(forged))
        except (ValueError, UnicodeDecodeError):
            continue
        read += 1
        assert sum(values.nbytes for values in arrays.values()) <= len(data)
    assert 100 < read < 2000
