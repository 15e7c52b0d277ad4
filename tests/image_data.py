"""Makes pictures and image files, and decodes them."""

import zlib

from media import decode


def decode_one(folder, image, name="0.png", **save_options):
    """Saves one image as the only frame of a clip, and decodes it."""
    folder.mkdir(exist_ok=True)
    image.save(folder / name, **save_options)
    (frame,) = decode(folder)
    return frame.pixels


def make_png_chunk(kind, data):
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def write_raw_png(path, *, width, height, bit_depth, color_type, rows):
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = size + bytes([bit_depth, color_type, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(make_png_chunk(*chunk) for chunk in chunks))
