//! Bad folders of images.

use super::super::images::draw;
use super::{Case, Path, ae, case, write};

pub(super) const CASES: &[Case] = &[
    case(
        "images of several sizes",
        "train sizes",
        1,
        "sizes/b.png: the image has 4x3 pixels, but sizes/a.png has 3x4 (height and width); --image 3x4 resizes them all",
    ),
    case(
        "several sizes for a model without",
        "score M sizes",
        1,
        "a model that was trained with --image resizes all images",
    ),
    case(
        "a folder of texts",
        "train texts",
        1,
        "texts: no images (.png, .jpg, .jpeg) in this folder, but 1 other file",
    ),
    case("an empty image", "train broken", 1, "broken/a.png: not a valid image file: the file is empty"),
    case(
        "an empty image to score",
        "score P broken",
        1,
        "broken/a.png: not a valid image file: the file is empty",
    ),
    case("a text as image", "train lies", 1, "lies/a.jpg: not a valid image file: it is neither a PNG nor"),
    case("an image cut short", "train cut --image 3x4", 1, "cut/a.png: not a valid PNG file"),
    case("a link to nothing", "train dangling", 1, "dangling/a.png: No such file"),
    case("images of two channels", "train photos --image 3x4x2", 2, "3x4x2 is not a valid image size"),
    case("images of no lines", "train photos --image 0x4", 2, "'0x4' is not an image size"),
    case("a size of a table", "train rows.csv --image 3x3", 2, "--image: 3x3x1 (9 values) is out of range"),
    case("columns of images", "train photos --drop grey_0_0", 2, "are for tables, not for folders of images"),
    case("ranks of images", "train photos --scale quantile", 2, "are for tables, not for folders of images"),
    case(
        "an unknown label column",
        "train photos --label kind",
        1,
        "photos: no column 'kind'; there are 'label'",
    ),
    case(
        "labels without folders",
        "score P sizes --label label",
        1,
        "sizes: no labels: labels are folder names",
    ),
    case(
        "an unknown class",
        "detect P photos --contamination 0.5 --label label --anomaly cow",
        1,
        "photos: no row has the label 'cow' that --anomaly names; labels: cat, dog",
    ),
    case(
        "targets of other names",
        "train photos --target others",
        1,
        "cat/1.png in photos would be paired with cat/2.png in --target others",
    ),
    case(
        "images of rows",
        "reconstruct M rows.csv -o folder",
        2,
        "-o folder: this is a folder, for images, but the model does not know their size",
    ),
    case("images among those read", "reconstruct P photos -o photos", 2, "the input images are there"),
    case("images below those read", "reconstruct P photos -o photos/new/", 2, "the input images are there"),
    case("images in no folder", "reconstruct P photos -o no/out/", 2, "-o no/out/: there is no folder no"),
    case("images in a file", "reconstruct P photos -o rows.csv/", 2, "-o rows.csv/: this is not a folder"),
    case("codes as images", "encode P photos -o folder", 2, "-o folder: unknown file format"),
    case("scores as images", "score P photos -o out/", 2, "-o out/: unknown file format"),
];

pub(super) fn write_files(folder: &Path) {
    for name in ["photos/cat/1.png", "photos/dog/1.png", "others/cat/2.png", "others/dog/1.png", "cut/a.png"]
    {
        draw(&folder.join(name), 3, 4, name.len() as f32);
    }
    draw(&folder.join("sizes/a.png"), 3, 4, 1.0);
    draw(&folder.join("sizes/b.png"), 4, 3, 1.0);
    for name in ["texts", "broken", "lies", "dangling"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    write(folder, "texts/notes.txt", "none");
    write(folder, "broken/a.png", "");
    write(folder, "lies/a.jpg", "none");
    let image = std::fs::read(folder.join("cut/a.png")).unwrap();
    write(folder, "cut/a.png", &image[..image.len() - 20]);
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", folder.join("dangling/a.png")).unwrap();
    let train = ["train", "photos", "--epochs", "1", "--encoding-dim", "2", "-q", "-o", "photos.safetensors"];
    ae(folder, &train);
}
