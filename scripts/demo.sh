#!/bin/sh
# The guide's whole workflow on drawn smears: nothing is downloaded, nothing is hard-wired.
set -eu
demo=${1:-demo}
mkdir -p "$demo"

step() { printf '\n== %s\n' "$*"; }

step "1. Draw smears, laid out like a clone of BCCD"
bloodcells synthesize --output "$demo/BCCD_Dataset" --layout bccd --count 48 --cell-diameter 60 \
    --stain wright-giemsa --seed 1

step "2. Masks from stain and boxes"
python prepare_segmentation_data.py --mode bccd \
    --input "$demo/BCCD_Dataset" --output "$demo/data/segmentation"

step "3. Augment and verify"
python prepare_segmentation_data.py --mode augment \
    --input "$demo/data/segmentation" --output "$demo/data/segmentation_augmented" --aug-factor 2
python prepare_segmentation_data.py --mode verify --input "$demo/data/segmentation_augmented"

step "4. Train, a short run of the fast preset"
python train_segmentation.py train --data-dir "$demo/data/segmentation_augmented" --preset fast \
    --epochs 4 --checkpoint-dir "$demo/checkpoints" --log-dir "$demo/logs"

step "5. Segment a smear that the model has never seen"
bloodcells synthesize --output "$demo/unseen" --count 3 --cell-diameter 60 \
    --stain wright-giemsa --seed 2
python train_segmentation.py test --model "$demo/checkpoints/segmentation_model_best.keras" \
    --image "$demo/unseen/images/smear_00000.png" --output-dir "$demo/test_results"

step "6. Measure it on the test split"
bloodcells evaluate --model "$demo/checkpoints/segmentation_model_best.keras" \
    --data-dir "$demo/data/segmentation_augmented" --split test \
    --json "$demo/evaluation.json" --contact-sheet "$demo/worst.png"

step "7. Count the cells of unseen smears, without TensorFlow, and report"
bloodcells export --model "$demo/checkpoints/segmentation_model_best.keras"
bloodcells analyze "$demo/unseen/images" --output-dir "$demo/report" \
    --model "$demo/checkpoints/segmentation_model_best.onnx"

step "Done. Look at these:"
find "$demo" -name '*_contact_sheet.png' -o -name 'training_curves.png' -o -name 'worst.png' \
    -o -path '*test_results*.png' -o -name 'index.html'
echo "Research use only; not a medical device."
