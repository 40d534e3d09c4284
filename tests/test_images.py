"""Decoding takes a picture as it is meant to be seen; encoding keeps its pixels and drops everything else."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_images import noise, reason, smooth, stored
from PIL import Image, ImageCms

from dsanon.images import decode, encode
from dsanon.sample import Encoding

SECRET = b"Jane Doe was here"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_come_back_exactly(kind: str) -> None:
    pixels, encoding = decode(stored(Image.fromarray(noise()), kind))
    assert encoding == Encoding(kind)
    again, same = decode(encode(pixels, encoding))
    assert same == encoding
    assert np.array_equal(pixels, noise())
    assert np.array_equal(again, noise())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "PPM", "WEBP", "GIF"])
def test_encoding_is_deterministic(kind: str) -> None:
    assert encode(noise(), Encoding(kind)) == encode(noise(), Encoding(kind))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [40, 75, 92])
def test_jpeg_keeps_tables_sampling_and_untouched_blocks(subsampling: int, progressive: bool, quality: int) -> None:
    data = stored(Image.fromarray(smooth()), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    pixels, encoding = decode(data)
    assert (encoding.subsampling, encoding.progressive, len(encoding.qtables)) == (subsampling, progressive, 2)
    again, same = decode(encode(pixels, encoding))
    assert same == encoding
    difference = np.abs(pixels.astype(int) - again)
    assert difference.mean() < 1.0
    assert difference.max() <= 30


def test_jpeg_with_other_tables_would_change_more() -> None:
    pixels, encoding = decode(stored(Image.fromarray(smooth()), "JPEG", quality=40))
    coarse = Encoding("JPEG", qtables=((60,) * 64,) * 2, subsampling=2)
    kept, changed = decode(encode(pixels, encoding))[0], decode(encode(pixels, coarse))[0]
    assert np.abs(pixels.astype(int) - kept).mean() < np.abs(pixels.astype(int) - changed).mean()


def test_progressive_noise_at_the_finest_tables_is_still_stored() -> None:
    fine = Encoding("JPEG", qtables=((1,) * 64,) * 2, subsampling=0, progressive=True)
    again, _ = decode(encode(noise(400, 300), fine))
    assert np.abs(again.astype(int) - noise(400, 300)).max() <= 5


def test_grey_stays_grey_in_one_channel() -> None:
    grey = Image.fromarray(noise()).convert("L")
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "PPM"):
        pixels, encoding = decode(stored(grey, kind))
        assert encoding.grey
        assert pixels.shape == (48, 64, 3)
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
        assert Image.open(io.BytesIO(encode(pixels, encoding))).mode == "L"


def test_webp_remembers_whether_it_was_lossless() -> None:
    exact, lossless = decode(stored(Image.fromarray(noise()), "WEBP", lossless=True))
    _, lossy = decode(stored(Image.fromarray(smooth()), "WEBP", quality=60))
    assert (lossless.subsampling, lossy.subsampling) == (0, 2)
    assert np.array_equal(decode(encode(exact, lossless))[0], noise())


def test_palette_one_bit_and_alpha_become_rgb() -> None:
    palette = Image.fromarray(smooth()).quantize(16)
    assert np.array_equal(decode(stored(palette, "PNG"))[0], np.array(palette.convert("RGB")))
    one_bit = Image.fromarray(smooth()).convert("1")
    pixels, encoding = decode(stored(one_bit, "PNG"))
    assert encoding.grey
    assert set(np.unique(pixels)) <= {0, 255}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_transparency_hides_is_gone(kind: str) -> None:
    rgba = np.dstack([noise(), np.zeros((48, 64), np.uint8)])
    rgba[:, 32:, 3] = 255
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = stored(Image.fromarray(rgba), kind, **options)
    pixels, encoding = decode(data)
    assert (pixels[:, :32] == 255).all()
    assert np.array_equal(pixels[:, 32:], noise()[:, 32:])
    assert Image.open(io.BytesIO(encode(pixels, encoding))).mode == "RGB"


def test_a_transparent_palette_entry_is_white() -> None:
    image = Image.fromarray(np.tile(np.uint8([0, 1]), (4, 4)), "L").convert("P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    pixels, _ = decode(stored(image, "PNG", transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 1].tolist() == [0, 0, 200]


def test_cmyk_jpeg_is_converted_upright() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    pixels, encoding = decode(stored(red, "JPEG", quality=95))
    assert encoding.format == "JPEG"
    assert not encoding.grey
    assert np.abs(pixels.astype(int) - [255, 0, 0]).max() < 12
    assert Image.open(io.BytesIO(encode(pixels, encoding))).mode == "RGB"


def test_another_colour_profile_is_converted_and_dropped() -> None:
    grey50 = Image.new("RGB", (8, 8), (120, 60, 30))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels, encoding = decode(stored(grey50, "PNG", icc_profile=lab))
    assert pixels[0, 0].tolist() == [120, 60, 30]
    assert b"iCCP" not in encode(pixels, encoding)
    # a damaged profile changes nothing
    assert decode(stored(grey50, "PNG", icc_profile=b"no profile"))[0][0, 0].tolist() == [120, 60, 30]


def test_a_linear_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # make every tone curve ("para" of type 3) the identity: exponent 1, nothing else, and take its name away
    for at in range(len(data) - 4):
        if data[at : at + 4] == b"para":
            data[at + 8 : at + 12] = b"\0\0\0\0"
            data[at + 12 : at + 16] = struct.pack(">i", 1 << 16)
    data = data.replace("sRGB".encode("utf-16-be"), "lRGB".encode("utf-16-be"))
    pixels, _ = decode(stored(Image.new("RGB", (8, 8), (55, 55, 55)), "PNG", icc_profile=bytes(data)))
    assert pixels[0, 0].tolist() == pytest.approx([128, 128, 128], abs=2)  # 55 / 255 linear is 128 / 255 in sRGB


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32] = [250, 10, 10]  # the marked quarter is the upper left
    back = {2: 0, 3: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6}
    undo = [
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_270,
    ]
    raw = Image.fromarray(upright)
    if orientation > 1:
        raw = raw.transpose(undo[back[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, encoding = decode(stored(raw, kind, exif=exif), (64, 32))
    assert np.abs(pixels.astype(int) - upright).mean() < 3
    data = stored(raw, kind, exif=exif)
    assert np.array_equal(decode(data)[0], pixels)
    for size in ((64, 32), None):  # coordinates: of which pixels does the upright size tell, where it is another
        if orientation == 1 or (orientation >= 5 and size):
            assert np.array_equal(decode(data, size, located=True)[0], pixels)
        else:
            told = reason(data, size, located=True)
            assert told.startswith(f"EXIF orientation {orientation}, ")
            assert "re-save the picture upright" in told
    assert 0x0112 not in Image.open(io.BytesIO(encode(pixels, encoding))).getexif()
    if orientation >= 5:
        assert "EXIF orientation contradicts" in reason(stored(raw, kind, exif=exif), (32, 64))


def test_the_first_picture_of_a_phone_s_jpeg_is_taken() -> None:
    frames = [Image.fromarray(smooth()), Image.fromarray(noise(16, 16))]
    data = stored(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    pixels, encoding = decode(data)
    assert encoding.format == "JPEG"
    assert len(encoding.qtables) == 2
    assert pixels.shape == (48, 64, 3)
    assert encode(pixels, encoding).count(b"\xff\xd8\xff") == 1


def test_no_metadata_survives() -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0132] = "2001:02:03 04:05:06"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 15.0)})
    thumbnail = stored(Image.fromarray(smooth(16, 16)), "JPEG")
    exif_bytes = exif.tobytes() + thumbnail + SECRET
    image = Image.fromarray(smooth())
    data = stored(image, "JPEG", exif=exif_bytes, comment=SECRET, icc_profile=SECRET, xmp=b"<x>" + SECRET) + SECRET
    assert data.count(SECRET) >= 5
    assert data.count(b"\xff\xd8\xff") == 2  # itself and the thumbnail
    out = encode(*decode(data))
    assert out.count(b"\xff\xd8\xff") == 1
    for trace in (SECRET, b"Exif", b"2001", b"ICC", b"adobe", thumbnail[-40:]):
        assert trace not in out
    found = Image.open(io.BytesIO(out))
    assert not found.getexif()
    assert set(found.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "GIF"])
def test_no_metadata_survives_other_formats(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    options: dict[str, Any] = {"exif": exif.tobytes()} if kind != "GIF" else {"comment": SECRET}
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Author", SECRET.decode())
    data = stored(Image.fromarray(smooth()), kind, **options) + SECRET
    out = encode(*decode(data))
    assert SECRET in data
    assert SECRET not in out
    assert not Image.open(io.BytesIO(out)).info.keys() & {"exif", "comment", "Author", "xmp"}


def test_real_photos_survive_untouched(shared: Path) -> None:
    folder = shared / "data/lfw/lfw-deepfunneled"
    for person in sorted(folder.iterdir())[:3]:
        for file in sorted(person.iterdir())[:1]:
            pixels, encoding = decode(file.read_bytes())
            again, _ = decode(encode(pixels, encoding))
            assert np.abs(pixels.astype(int) - again).mean() < 0.5
