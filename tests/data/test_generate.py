"""The generated data sets."""


import checkout
from data.generate import generate


def test_the_largest_seed_and_images_larger_than_the_photographs_can_be_asked_for(tmp_path):
    generate(str(tmp_path), 1, 4, size=900, seed=2 ** 32 - 1)
    assert len(checkout.tree(tmp_path)) == 1 + 2 + 3 * 4


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(str(tmp_path / name), 7, 3, size=32, seed=seed)
        found.append(checkout.tree(tmp_path / name))
    assert found[0] == found[1] != found[2] and set(found[0]) == set(found[2])
