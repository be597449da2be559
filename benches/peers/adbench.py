"""PyOD's detectors on the splits of `cargo xtask experiments adbench`.

One JSON object a set, seed and detector, and last the means of each detector. Rows that are trained on are drawn by the same
generator (SplitMix64), features are standardised by them. Detectors have PyOD's defaults. Packages: pyod, torch, tqdm, scikit-learn.
"""

import argparse
import glob
import json
import os
import time

MASK = (1 << 64) - 1


def splitmix(seed):
    """The generator of ae-data's split.rs."""
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def first_half(rows, seed):
    """`validation_split(rows, 0.5, seed)`: places of the rows that are trained on."""
    count = int(rows * 0.5 + 0.5)
    count = min(max(count, 1), rows - 1) if rows > 1 else 0
    order, numbers = list(range(rows)), splitmix(seed)
    for place in range(count):
        other = place + ((next(numbers) * (rows - place)) >> 64)
        order[place], order[other] = order[other], order[place]
    return sorted(order[count:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of .npz files")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-rows", type=int, default=0, help="leave out larger sets; 0 leaves out none")
    parser.add_argument("--detectors", default="KNN,IForest,PCA,AutoEncoder,VAE")
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)

    import importlib

    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    modules = {"KNN": "knn", "IForest": "iforest", "PCA": "pca", "AutoEncoder": "auto_encoder", "VAE": "vae"}
    results = {}
    files = sorted(glob.glob(os.path.join(args.data, "*.npz")))
    for detector in args.detectors.split(","):
        kind = getattr(importlib.import_module("pyod.models." + modules[detector]), detector)
        for path in files:
            with np.load(path) as arrays:
                rows, y = arrays["X"].astype(np.float32).astype(np.float64), arrays["y"].ravel() == 1
            if args.max_rows and len(rows) > args.max_rows:
                continue
            for seed in range(args.seeds):
                normal = np.flatnonzero(~y)
                train = normal[first_half(len(normal), seed)]
                test = np.setdiff1d(np.arange(len(rows)), train)
                mean, deviation = rows[train].mean(0), rows[train].std(0)
                constant = rows[train].min(0) == rows[train].max(0)
                deviation[constant] = 1.0
                scaled = ((rows - mean) / deviation).astype(np.float32)
                seeded = {"random_state": seed} if detector not in ("KNN",) else {}
                model = kind(**seeded)
                start = time.perf_counter()
                model.fit(scaled[train])
                # Some overflow where a feature of the training rows hardly varies; infinite is most anomalous.
                scores = np.nan_to_num(model.decision_function(scaled[test]), posinf=np.finfo(np.float64).max)
                seconds = time.perf_counter() - start
                result = {
                    "detector": detector,
                    "dataset": os.path.splitext(os.path.basename(path))[0],
                    "n": len(rows),
                    "d": rows.shape[1],
                    "seed": seed,
                    "roc_auc": round(float(roc_auc_score(y[test], scores)), 5),
                    "pr_auc": round(float(average_precision_score(y[test], scores)), 5),
                    "mean_roc_auc": round(float(roc_auc_score(y[test], (scaled[test] ** 2).sum(1))), 5),
                    "seconds": round(seconds, 4),
                }
                print(json.dumps(result), flush=True)
                results.setdefault(detector, []).append(result)
    for detector, runs in results.items():
        mean = {key: round(sum(run[key] for run in runs) / len(runs), 4) for key in ("roc_auc", "pr_auc")}
        print(json.dumps({"detector": detector, "runs": len(runs), **mean, "seconds": round(sum(run["seconds"] for run in runs), 2)}))


if __name__ == "__main__":
    main()
