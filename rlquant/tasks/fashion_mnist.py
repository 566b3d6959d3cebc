"""Fashion-MNIST (Xiao et al. 2017): 70,000 images of clothes, 28x28, ten classes."""

from __future__ import annotations

from pathlib import Path

from rlquant.tasks.idx_data_set import IdxDataSet
from rlquant.tasks.published_files import DebianPackage, PublishedFiles

FASHION_MNIST = IdxDataSet(
    name="Fashion-MNIST",
    files=PublishedFiles(
        subfolder="fashion-mnist",
        address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        checksums={
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
        package=DebianPackage("dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist")),
    ),
    mean=0.2860,
    std=0.3530,
)
