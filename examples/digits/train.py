"""Reads handwritten digits: a sweep over four small neural networks, on the 1,797 images that scikit-learn brings."""

from itertools import product

from prefect import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from tabulate import tabulate

from prefect_ml import current_run, log_metrics, log_model, log_text
from prefect_ml.tasks import register_model, tracked_flow, tracked_task


@tracked_task
def prepare(seed: int):
    images, digits = load_digits(return_X_y=True)
    train_x, rest_x, train_y, rest_y = train_test_split(images / 16, digits, train_size=0.7, random_state=seed)
    check_x, test_x, check_y, test_y = train_test_split(rest_x, rest_y, test_size=0.5, random_state=seed)
    log_metrics({"train_rows": len(train_x), "check_rows": len(check_x), "test_rows": len(test_x)})
    return {"train": (train_x, train_y), "check": (check_x, check_y), "test": (test_x, test_y)}


@tracked_task
def train(data, hidden: int, learning_rate: float, epochs: int, seed: int):
    model = MLPClassifier((hidden,), learning_rate_init=learning_rate, random_state=seed)
    for epoch in range(1, epochs + 1):
        model.partial_fit(*data["train"], classes=range(10))
        accuracy = model.score(*data["check"])
        log_metrics({"loss": model.loss_, "accuracy": accuracy}, step=epoch)
    log_model(model, "model", example=data["check"][0][:5])
    return {"run_id": current_run().id, "accuracy": accuracy, "model": model}


@tracked_task
def evaluate(data, candidates):
    best = max(candidates, key=lambda candidate: candidate["accuracy"])
    images, digits = data["test"]
    confusion = tabulate(confusion_matrix(digits, best["model"].predict(images)), headers=range(10), showindex=True)
    get_run_logger().info("The best network's answers (columns) for each digit (rows):\n%s", confusion)
    log_text(confusion, "confusion.txt")
    log_metrics({"test_accuracy": best["model"].score(images, digits)})
    return best


@tracked_flow(experiment="digits", declared_environment=True, task_runner=ThreadPoolTaskRunner(max_workers=2))
def digits(epochs: int = 20, seed: int = 7):
    """Train four networks that read digits, and register the best."""
    data = prepare(seed)
    sweep = [train.submit(data, *setting, epochs, seed) for setting in product([16, 64], [0.001, 0.01])]
    best = evaluate(data, [candidate.result() for candidate in sweep])
    registered = register_model("digits", f"runs:/{best['run_id']}/model", description="Best network of a sweep")
    return {"run_id": best["run_id"], "version": registered.version}


if __name__ == "__main__":
    digits()
