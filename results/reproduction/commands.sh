#!/bin/sh
# What made results/reproduction, from public images: run it in the project's folder.
#
#     sh results/reproduction/commands.sh InceptionV3.h5 VGG16.h5
#
# The arguments are Keras weights files without top: classifiers.md beside this file says which ones
# were used here, and README.md which of these runs are there. Everything is written below
# reproduction/; 2 cores take more than a day, and each step continues where it was interrupted.
set -eu
inception_weights=$(realpath "$1")
vgg_weights=$(realpath "$2")
root=$PWD/reproduction
data=$root/data
mkdir -p "$data"

take() {  # REPOSITORY COMMIT FOLDER [PATH ...]: files of a public repository at a commit
    [ -d "$root/git/$1" ] || git clone --quiet "https://github.com/$1" "$root/git/$1"
    mkdir -p "$3"
    repository=$1 commit=$2 folder=$3
    shift 3
    git -C "$root/git/$repository" archive "$commit" "$@" | tar x -C "$folder"
}

if [ ! -e "$data/isic2018" ]; then
    take thunderInfy/imagenette b850f030ff0701c36a4adc8b928ea9483a46915b "$data/ilsvrc2012" train val
    take EliSchwartz/imagenet-sample-images bc69043e2862758a1906c6a24a792bb28c6bb2ff \
        "$data/ilsvrc2012/sample"
    take BIDS/BSDS500 a04b7c6c3a9f0ace74bf205c72a43d32e1c72722 "$root/bsds" BSDS500/data/images
    mkdir -p "$data/photographs" "$root/split"
    find "$root/bsds" -name '*.jpg' -exec cp {} "$data/photographs" \;
    take hkthirano/MedicalAI-UAP 1d386474ec383e0c808bd1b97326cfff3c9d0378 "$root/lists" data/melanoma
    take congtran19/XLA a8ba08aca1f0d9ee7524079182654870bc6420cc "$root/lesions" images
    # Of the published lists, the images that are there: 4,165 for training, 1,819 for the test.
    ls "$root/lesions/images" > "$root/present"
    truth=ISIC2018_Task3_Training_GroundTruth
    mkdir -p "$root/isic2018/$truth" "$root/isic2018/ISIC2018_Task3_Training_Input"
    for list in train_pre.csv test_pre.csv; do
        grep -wFf "$root/present" "$root/lists/data/melanoma/$list" > "$root/split/$list"
        cut -d, -f1 "$root/split/$list" | while read -r image; do
            cp "$root/lesions/images/$image" "$root/isic2018/ISIC2018_Task3_Training_Input"
        done
    done
    sort "$root/split/train_pre.csv" "$root/split/test_pre.csv" | awk -F, '
        BEGIN { n = split("MEL NV BCC AKIEC BKL DF VASC", names, " ")
                print "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC" }
        { sub(/\.jpg$/, "", $1); printf "%s", $1
          for (i = 1; i <= n; i++) printf ",%s", ($2 == names[i] ? "1.0" : "0.0")
          print "" }' > "$root/isic2018/$truth/$truth.csv"
    mv "$root/isic2018" "$data/isic2018"
fi

ln -sfn ilsvrc2012/train "$data/imagenette"
if [ ! -e "$data/natural" ]; then
    take MachineLearning2020/Homework2-Caltech101 836044dd000296b2bb74d0aa4b4e462e459b01d7 \
        "$root/caltech" 101_ObjectCategories
    rm -rf "$root/caltech/101_ObjectCategories/BACKGROUND_Google"
    take kztakemoto/Natural_UAP 2c414d1e88dcc4ef0a6858a7b2f9f48213863b2c "$root/authors" results
    cp "$root"/authors/results/*_noise.npy "$root/authors-noise.npy"
    mkdir -p "$root/natural"
    ln -sfn "$data/ilsvrc2012" "$root/natural/ilsvrc2012"
    ln -sfn "$root/caltech/101_ObjectCategories" "$root/natural/caltech101"
    mv "$root/natural" "$data/natural"
fi

python="sh utils/environment.sh python"
train_on() {
    $python train_model.py --data-dir "$data" --models-dir "$root/models" "$@"
}
train() {
    train_on --split "$root/split" "$@"
}
make_uap() {  # GROUP [OPTION ...]
    results=$root/results/$1
    shift
    $python make_uap.py --data-dir "$data" --results-dir "$results" "$@"
}
train --model InceptionV3 --weights "$inception_weights" --image-size 128 --epochs 6 \
    --learning-rate 0.002
train --model VGG16 --weights "$vgg_weights" --image-size 96 --epochs 3
# No weights of ResNet50 were at hand: it is first trained on Imagenette, 10 classes of ILSVRC2012.
train_on --model ResNet50 --name ResNet50-imagenette --dataset imagenette --weights none \
    --image-size 64 --epochs 9 --learning-rate 0.01
train_on --model ResNet50 --name ResNet50-natural --dataset imagenette --image-size 64 --epochs 4 \
    --weights "$root/models/ResNet50-imagenette.h5"
train --model ResNet50 --weights "$root/models/ResNet50-natural.h5" --image-size 64 --epochs 5 \
    --learning-rate 0.002
# The control: the same network, never trained on photographs.
train --model InceptionV3 --name InceptionV3-random --weights none --image-size 128 --epochs 8 \
    --learning-rate 0.01
for name in InceptionV3 VGG16 ResNet50 InceptionV3-random; do
    model=$root/models/$name.h5
    case $name in
        ResNet50 | InceptionV3-random) group=controls ;;
        *) group=main ;;
    esac
    for attack in deepfool fgsm sgd; do
        make_uap $group --model-file "$model" --source isic2018 --attack $attack
        make_uap $group --model-file "$model" --source-dir "$data/photographs" --attack $attack
    done
    make_uap $group --model-file "$model" --source ilsvrc2012 --num-images 10000
    make_uap $group --model-file "$model" --source ilsvrc2012 --attack fgsm
    make_uap $group --model-file "$model" --source ilsvrc2012 --num-images 10000 --attack sgd
    # Every image shown a second time.
    make_uap ablations --model-file "$model" --source ilsvrc2012 --attack fgsm --passes 2
    make_uap ablations --model-file "$model" --source isic2018 --attack fgsm --passes 2
    make_uap ablations --model-file "$model" --source-dir "$data/photographs" --attack fgsm \
        --passes 2
done
for name in InceptionV3 VGG16 ResNet50; do
    model=$root/models/$name.h5
    make_uap ablations --model-file "$model" --source none --attack gd-uap
    $python tests/step_lengths.py --model-file "$model" --num-images 100 \
        --folder "$root/results/ablations" --sources "$data/ilsvrc2012" "$data/isic2018"
done
make_uap ablations --backbone InceptionV3 --weights "$inception_weights" --image-size 128 \
    --source none --attack gd-uap
make_uap ablations --backbone VGG16 --weights "$vgg_weights" --image-size 96 --source none \
    --attack gd-uap
make_uap ablations --backbone ResNet50 --weights "$root/models/ResNet50-natural.h5" \
    --image-size 64 --source none --attack gd-uap
# Are images whose logit margins are smaller worth more? Their links, and a UAP from each half.
links() {  # NUMBER FOLDER: of images of ILSVRC2012, by their logit margin and predicted class
    $python tests/step_lengths.py --model-file "$root/models/InceptionV3.h5" --num-images "$1" \
        --sources "$data/ilsvrc2012" --links "$2"
}
links 4000 "$root/halves"
for half in smaller larger; do
    make_uap ablations/halves --model-file "$root/models/InceptionV3.h5" --attack fgsm \
        --source-dir "$root/halves/$half"
done
# Do steps out of one class undo those out of another? Those out of the lesions' main class alone.
links 10000 "$root/classes"
make_uap ablations --model-file "$root/models/InceptionV3.h5" --source-dir "$root/classes/NV" \
    --num-images 1000
evaluate() {  # GROUP NOTE [OPTION ...]
    results=$root/results/$1 note=$2
    shift 2
    $python evaluate.py --data-dir "$data" --models-dir "$root/models" --results-dir "$results" \
        --note "$note" "$@"
}
evaluate ablations/halves "A side question of the reproduction in small: photographs with smaller \
and with larger logit margins" --limit 300
# On all 1,819 test images; with --limit 300 a sixth of the time. With --results-dir "$root/results",
# all groups meet in one table, and each UAP the classifiers of its size in the other groups.
evaluate main "Real images, natural-image weights, InceptionV3 at 128 px, VGG16 at 96: a \
reproduction in small"
evaluate controls "Controls of the reproduction in small: InceptionV3 from random weights, ResNet50 \
hardly pretrained"
evaluate ablations "Side questions of the reproduction in small: second passes, GD-UAP, photographs \
of one predicted class"

# At the study's size, by today's TensorFlow, which is faster at it.
export ENVIRONMENT=tf2
# Three classifiers that are trained and attacked alike, but for the size of their images.
for size in 299 128 75; do
    name=InceptionV3-$size
    train --model InceptionV3 --name $name --weights "$inception_weights" --image-size $size \
        --epochs 3 --learning-rate 0.002
    group=sizes
    [ $size != 299 ] || group=full-size
    for attack in sgd fgsm; do
        make_uap $group --model-file "$root/models/$name.h5" --source-dir "$data/natural" \
            --attack $attack --num-images 5000
    done
done
evaluate sizes "InceptionV3 at 128 and at 75 px, made as the one at 299 px" --limit 600
# Two longer trainings: by the attack of the run whose log the authors published, and by the others. In
# bfloat16, about half the time on a processor with AMX or AVX512_BF16.
for epochs in 5 7; do
    model=$root/models/InceptionV3-299-$epochs-epochs.h5
    train --model InceptionV3 --name InceptionV3-299-$epochs-epochs --weights "$inception_weights" \
        --epochs $epochs --learning-rate 0.002 --precision bfloat16
    make_uap full-size --model-file "$model" --source-dir "$data/natural" --attack fgsm --norm 2 \
        --step-size 0.0005 --num-images 10000 --precision bfloat16
done
for attack in sgd fgsm; do
    make_uap full-size --model-file "$model" --source-dir "$data/natural" --attack $attack \
        --num-images 5000 --precision bfloat16
done
model=$root/models/InceptionV3-299.h5
note="InceptionV3 at 299 px, the study's size"
evaluate full-size "$note" --limit 600
# The log of that run, of which docs/draw_pictures.py draws a part: images, L2 norm, rates.
$python - "$root"/authors/results/*_LOG.npy "$root/authors-curve.csv" <<'END'
import sys
import numpy as np
log = np.load(sys.argv[1])
np.savetxt(sys.argv[2], log[:, [0, 1, 4, 7]], fmt=["%d", "%.4f", "%.4f", "%.4f"], delimiter=",",
           header="images,norm,fooling_rate,random", comments="")
END
# The UAP that the authors published, made for an InceptionV3 of their own.
evaluate full-size "$note" --limit 600 --uap "$root/authors-noise.npy" --model-file "$model" \
    --norm 2 --allow-mismatch
