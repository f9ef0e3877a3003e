#!/usr/bin/env python3
"""Makes the small data sets of tests/data_formats.rs with other people's writers of their formats.

Needs numpy, scipy and pillow; run in this folder. Pixel (row, column) of channel c of image n is
(40 n + 50 c + 7 row + 3 column) mod 256.
"""

import pathlib

import numpy
from PIL import Image
from scipy.io import savemat


def images(count, side=32, channels=3, first=0):
    n, row, column, c = numpy.indices((count, side, side, channels))
    return ((40 * (n + first) + 50 * c + 7 * row + 3 * column) % 256).astype("uint8")


def svhn(name, count, labels, **options):
    x = images(count).transpose(1, 2, 3, 0)  # height, width, channels, images
    savemat(name, {"X": x, "y": labels.reshape(-1, 1)}, **options)


digits = numpy.array([1, 10, 2, 9, 10, 1])
pathlib.Path("svhn").mkdir(exist_ok=True)
svhn("svhn/train_32x32.mat", 6, digits.astype("uint8"), do_compression=True)
svhn("svhn/test_32x32.mat", 2, numpy.array([10.0, 2.0]))
savemat("svhn/extra_32x32.mat",  # the arrays the other way round, and one that is not wanted
        {"y": digits[:3].astype("uint8").reshape(-1, 1), "more": numpy.arange(5000),
         "X": images(3).transpose(1, 2, 3, 0)}, do_compression=True)

pathlib.Path("npz").mkdir(exist_ok=True)
numpy.savez_compressed("npz/colour.npz", x_train=images(6, 5), y_train=numpy.arange(6) % 3,
                       x_test=images(3, 5), y_test=numpy.arange(3, dtype=">i4").reshape(-1, 1))
pathlib.Path("npz-grey").mkdir(exist_ok=True)
numpy.savez("npz-grey/grey.npz", x_train=images(4, 5, 1)[..., 0], y_train=numpy.arange(4, dtype="uint8") % 2,
            x_test=images(2, 5, 1)[..., 0], y_test=numpy.arange(2, dtype="uint8"))


def picture(path, image):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return image, path


def save(path, image, **options):
    image, path = picture(path, image)
    image.save(path, **options)


colour = images(4, 8)
rgba = numpy.dstack([colour[1], numpy.full((8, 8), 100, "uint8")])
grey = images(1, 8, 1)[0, ..., 0]
save("pictures/train/cat/1.png", Image.fromarray(colour[0]))
save("pictures/train/cat/2-alpha.PNG", Image.fromarray(rgba))
save("pictures/train/cat/3-palette.png", Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4))
save("pictures/train/dog/1.jpg", Image.new("RGB", (8, 8), (200, 100, 50)), quality=95)
save("pictures/train/dog/2-grey.jpeg", Image.new("L", (8, 8), 77), quality=95)
save("pictures/train/dog/3-progressive.jpg", Image.new("RGB", (8, 8), (20, 100, 150)),
     quality=95, progressive=True)
save("pictures/test/cat/1-grey.png", Image.fromarray(grey))
save("pictures/test/dog/1.png", Image.fromarray(colour[3]))
save("pictures-grey/train/a/1.png", Image.fromarray(grey))
save("pictures-grey/train/a/2-wide.png", Image.new("L", (12, 8), 9))
save("pictures-grey/train/b/16-bit.png", Image.fromarray((grey.astype("uint16") << 8) | 0x7F))
save("pictures-grey/train/b/one-bit.png", Image.new("1", (8, 8), 1))
save("cmyk.jpg", Image.new("CMYK", (8, 8), (1, 2, 3, 4)))
