"""MNIST (LeCun et al. 1998): 70,000 images of handwritten digits, 28x28, ten classes."""

from __future__ import annotations

from rlquant.tasks.idx_data_set import IdxDataSet
from rlquant.tasks.published_files import PublishedFiles

MNIST = IdxDataSet(
    name="MNIST",
    files=PublishedFiles(
        subfolder="mnist",
        address="https://ossci-datasets.s3.amazonaws.com/mnist/",
        checksums={
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    mean=0.1307,
    std=0.3081,
)
