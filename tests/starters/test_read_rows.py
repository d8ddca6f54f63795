from softcloze.starters import DATASETS
from softcloze.starters.fetch import read_rows


def test_rated_snippets_near_zero_are_left_out(tmp_path):
    (tmp_path / "rows.txt").write_bytes(b"1\t2.5\tA hit.\r\n2\t-0.79\tSo so.\r\n3\t-0.8\tA\tflop \xc3\xa9.\r\n")
    assert [(text.strip(), label) for text, label in read_rows(DATASETS["movie-reviews"], tmp_path)] == [
        ("A hit.", "positive"),
        ("A\tflop é.", "negative"),
    ]


def test_rated_snippets_with_stars(tmp_path):
    means = (-4, -2.4, -2.39, -0.8, -0.79, 0, 0.79, 0.8, 2.39, 2.4, 4)
    (tmp_path / "rows.txt").write_text("".join(f"{n}\t{mean}\tx\n" for n, mean in enumerate(means)))
    assert "".join(label for _, label in read_rows(DATASETS["movie-stars"], tmp_path)) == "11223334455"


def test_one_file_for_each_label(tmp_path):
    (tmp_path / "negative.txt").write_text("差\n很差\n", encoding="utf-8-sig")
    (tmp_path / "positive.txt").write_text("好", encoding="utf-8")
    assert [(text.strip(), label) for text, label in read_rows(DATASETS["chinese-reviews"], tmp_path)] == [
        ("差", "negative"),
        ("很差", "negative"),
        ("好", "positive"),
    ]


def test_votes_that_agree_on_a_readable_text(tmp_path):
    (tmp_path / "rows.csv").write_bytes(
        b"sentiment,confidence,text\r\n"
        b'positive,0.6,"yes,\rtwo lines"\r\n'
        b"negative,0.59,unsure\r\n"
        b"negative,,no vote\r\n"
        b"neutral,1,garbled \x8a\x97\xc8\r\n"
        b"neutral,1,ok\r\n"
    )
    assert list(read_rows(DATASETS["tweets-3"], tmp_path)) == [("yes,\rtwo lines", "positive"), ("ok", "neutral")]
