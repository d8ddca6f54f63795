"""中文商品评论:掩码在句子中间的模板,可训练的软提示,冻结的 Gemma。

Chinese product reviews, with the mask in the middle of a sentence: the text after it is scored too.
"""

from sklearn.metrics import balanced_accuracy_score

from softcloze import PromptClassifier, load_backbone
from softcloze.experiments import few_shot, load_data

reviews = load_data("chinese-reviews")
rows = few_shot(reviews.train.labels, shots=4, random_state=0)
texts = [reviews.train.texts[row] for row in rows]
labels = [{"positive": "积极", "negative": "消极"}[reviews.train.labels[row]] for row in rows]
test_texts = reviews.test.texts[:24]
test_labels = [{"positive": "积极", "negative": "消极"}[label] for label in reviews.test.labels[:24]]

clf = PromptClassifier(
    model=load_backbone("starter:gemma3-270m"),
    template="<soft*10> <text> 这句话表达了 <mask> 的情感",
    verbalizer={"积极": ["积极", "好"], "消极": ["消极", "差"]},
    max_length=64,
    random_state=0,
)
clf.fit(texts, labels)

print("平衡准确率 / balanced accuracy:", round(balanced_accuracy_score(test_labels, clf.predict(test_texts)), 3))
for text in ("手机很好用,电池也耐用,非常满意。", "用了两天就坏了,客服也不理人。"):
    (probabilities,) = clf.predict_proba([text])
    print({label: round(float(p), 3) for label, p in zip(clf.classes_, probabilities, strict=True)}, text)
