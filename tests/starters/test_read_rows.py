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


def test_labels_and_texts_in_which_quotes_are_text(tmp_path):
    (tmp_path / "rows.tsv").write_bytes('ham\t"Hi\tthere\nspam\tWIN £100 "now"\n'.encode())
    assert [(text.rstrip("\n"), label) for text, label in read_rows(DATASETS["sms-spam"], tmp_path)] == [
        ('"Hi\tthere', "ham"),
        ('WIN £100 "now"', "spam"),
    ]


def test_rated_reviews_with_entities_from_both_files(tmp_path):
    header = b"\tdrugName\treview\trating\n"
    (tmp_path / "train.tsv").write_bytes(
        header + b'1\ta\t"""I didn&#039;t.\r\r\nThen &quot;it&quot; did."""\tpositive\r\n'
    )
    (tmp_path / "test.tsv").write_bytes(header + b'2\tb\t"""Bad."""\tnegative\n')
    assert list(read_rows(DATASETS["drug-reviews"], tmp_path)) == [
        ('I didn\'t.\r\r\nThen "it" did.', "positive"),
        ("Bad.", "negative"),
    ]
