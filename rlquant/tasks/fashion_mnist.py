"""Fashion-MNIST (Xiao et al. 2017): 70,000 images of clothes, 28x28, ten classes."""

from __future__ import annotations

from pathlib import Path

from rlquant.tasks.idx_data_set import IdxDataSet
from rlquant.tasks.published_files import DebianPackage, PublishedFiles

TRAIN_IMAGES = "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
TRAIN_LABELS = "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
TEST_IMAGES = "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
TEST_LABELS = "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"

FASHION_MNIST = IdxDataSet(
    name="Fashion-MNIST",
    files=PublishedFiles(
        subfolder="fashion-mnist",
        # The authors' repository; the site that they name in its place has no https.
        address="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
        "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
        checksums={
            "train-images-idx3-ubyte.gz": f"sha256:{TRAIN_IMAGES}",
            "train-labels-idx1-ubyte.gz": f"sha256:{TRAIN_LABELS}",
            "t10k-images-idx3-ubyte.gz": f"sha256:{TEST_IMAGES}",
            "t10k-labels-idx1-ubyte.gz": f"sha256:{TEST_LABELS}",
        },
        package=DebianPackage("dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist")),
    ),
    mean=0.2860,
    std=0.3530,
)
