//! Folders of images as input and output.

use ae_data::{ImageSize, Images, ReadOptions, read_images, write_image};

use super::*;

const MODEL: &str = "m.safetensors";

/// Writes an image with a bright spot at a position given by `seed`, creating its folder if necessary.
pub(crate) fn draw(path: &Path, height: usize, width: usize, seed: f32) {
    let (y, x) = (0.5 + 0.3 * seed.sin(), 0.5 + 0.3 * (1.7 * seed).cos());
    let level = |place: usize| {
        let (v, u) = ((place / width) as f32 / height as f32, (place % width) as f32 / width as f32);
        230.0 * (-((v - y).powi(2) + (u - x).powi(2)) / 0.06).exp() + 10.0
    };
    let levels: Vec<f32> = (0..height * width).map(level).collect();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_image(path, ImageSize { height, width, channels: 1 }, &levels).unwrap();
}

/// Writes forty images of two sizes to the folders `cat` and `dog`, and a file that is not an image.
pub(crate) fn write_photos(folder: &Path) {
    for i in 0..40 {
        let class = if i % 2 == 0 { "cat" } else { "dog" };
        let side = if i % 3 == 0 { 24 } else { 12 };
        draw(&folder.join(format!("{class}/img{i}.png")), side, side, i as f32);
    }
    write(folder, "notes.txt", "none");
}

fn images(folder: &Path) -> Images {
    read_images(folder, &ReadOptions::default()).unwrap()
}

#[test]
fn images_go_in_and_come_out() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write_photos(&folder.join("photos"));
    let train = ["train", "photos/", "--image", "12x12", "--encoding-dim", "6", "--optimizer", "adam"];
    let trained =
        ae(folder, &[&train[..], &["--epochs", "200", "--learning-rate", "0.003", "-o", MODEL]].concat());
    assert!(trained.out.contains("data          photos/ (40 rows of 144)"), "{}", trained.out);
    let remark = "ae: photos/: 1 other file is not an image; 14 of 40 images are resized to 12x12";
    assert!(trained.err.contains(remark), "{}", trained.err);

    // The model remembers the size and resizes images itself.
    ae(folder, &["reconstruct", MODEL, "photos", "-o", "out/"]);
    let reconstructed = images(&folder.join("out"));
    let mut options = ReadOptions::default();
    options.image = Some(ImageSize { height: 12, width: 12, channels: 1 });
    let originals = read_images(folder.join("photos"), &options).unwrap();
    assert_eq!((reconstructed.size, reconstructed.others), (options.image.unwrap(), 0));
    assert_eq!(reconstructed.rows.row_ids(), originals.rows.row_ids());
    let (a, b) = (reconstructed.rows.values(), originals.rows.values());
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32;
    let spread = b.iter().map(|x| (x - 90.0).powi(2)).sum::<f32>() / b.len() as f32;
    assert!(apart < 0.3 * spread, "{apart} {spread}");
    // As a table, they are the same up to rounding.
    let table = ae(folder, &["reconstruct", MODEL, "photos", "-q"]).cells();
    assert_eq!(
        (table[0][14].as_str(), table[0][145].as_str(), table[1][145].as_str()),
        ("grey_1_1", "label", "cat")
    );
    for (level, cell) in a.iter().zip(table[1..].iter().flat_map(|row| &row[1..145])) {
        let value: f32 = cell.parse().unwrap();
        assert!((level - value.clamp(0.0, 255.0)).abs() <= 0.501, "{level} {value}");
    }
    // An existing folder can be written to as well.
    ae(folder, &["reconstruct", MODEL, "out", "-o", "again/"]);
    std::fs::create_dir(folder.join("there")).unwrap();
    let said = ae(folder, &["reconstruct", MODEL, "out", "-o", "there", "--json"]).summary();
    assert_eq!(
        (&said["event"], &said["output"], &said["rows"]),
        (&"written".into(), &"there".into(), &40.into())
    );
    assert_eq!(images(&folder.join("again")), images(&folder.join("there")));
}

#[test]
fn results_name_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write_photos(&folder.join("photos"));
    ae(
        folder,
        &["train", "photos", "--image", "12x12", "--encoding-dim", "4", "--epochs", "3", "-o", MODEL, "-q"],
    );
    let scores = ae(folder, &["score", MODEL, "photos"]).cells();
    assert_eq!(
        (&scores[0][..], scores[2][0].as_str()),
        (&["file", "error"].map(str::to_owned)[..], "cat/img2.png")
    );
    let each = ae(folder, &["score", MODEL, "photos", "--per-feature"]).cells();
    assert_eq!(
        (each[0][1].as_str(), each[40].len(), each[40][0].as_str()),
        ("grey_0_0", 145, "dog/img39.png")
    );
    let bare = ["score", MODEL, "photos", "-o", "scores.npy"];
    ae(folder, &bare);
    let object = |args: &[&str]| ae(folder, &[args, &["--json"]].concat()).objects().remove(39);
    assert_eq!(object(&["score", MODEL, "photos"])["file"], "dog/img39.png");
    assert_eq!(object(&["encode", MODEL, "photos"])["file"], "dog/img39.png");
    // Encodings carry file names, which decoding uses again.
    ae(folder, &["encode", MODEL, "photos", "-o", "codes.csv"]);
    let codes = cells(&std::fs::read_to_string(folder.join("codes.csv")).unwrap());
    assert_eq!(
        (&codes[0][..2], codes[40][0].as_str()),
        (&["file", "code_0"].map(str::to_owned)[..], "dog/img39.png")
    );
    let reconstructed = ae(folder, &["reconstruct", MODEL, "photos"]).cells();
    assert_eq!((reconstructed[0].len(), reconstructed[40][0].as_str()), (146, "dog/img39.png"));
    ae(folder, &["decode", MODEL, "codes.csv", "--id", "file", "-o", "decoded/"]);
    assert!(folder.join("decoded/dog/img39.png").is_file());
    let unnamed = ae(folder, &["encode", MODEL, "photos", "-o", "codes.npy"]);
    assert!(unnamed.err.contains("so 'file' is not written"), "{}", unnamed.err);
    let detect = ["detect", MODEL, "photos", "--reference", "photos", "--label", "label", "--normal", "cat"];
    assert_eq!(object(&detect)["file"], "dog/img39.png");
    let found = ae(folder, &[&detect[..], &["-o", "found.csv"]].concat());
    assert!(found.out.contains("ROC-AUC"), "{}", found.out);
    let found = cells(&std::fs::read_to_string(folder.join("found.csv")).unwrap());
    assert_eq!((&found[0][..3], found[1].len()), (&["file", "score", "flag"].map(str::to_owned)[..], 7));
    let maps = ae(folder, &["compare", MODEL, "photos", "-o", "-"]).cells();
    assert_eq!(maps[0][..3], ["row", "file", "label"]);
    assert_eq!(maps[21][..3], ["21", "dog/img1.png", "dog"]);

    let evaluate = ["evaluate", MODEL, "photos", "--reference", "photos"];
    let measured = ae(folder, &evaluate);
    assert!(measured.err.matches("resized to 12x12").count() == 1, "{}", measured.err);
    let measured = measured.out;
    let figures = ae(folder, &[&evaluate[..], &["--json"]].concat()).objects().remove(0);
    assert_eq!(figures["images"]["range"], 255.0);
    for part in ["images        of 12x12x1: PSNR", "classifier    logistic regression accuracy: ", "grey_"] {
        assert!(measured.contains(part), "'{part}' is not in {measured}");
    }
    ae(folder, &["report", MODEL, "photos", "-o", "report.html", "-q"]);
    let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert_eq!(html.matches("<img src=\"data:image/png;base64,").count(), 3);
    assert!(html.contains("cat/img"), "files are named");
    let sweep =
        ["sweep", "photos", "--image", "6x6", "--sizes", "2,3", "--epochs", "3", "-o", "sizes.csv", "-q"];
    ae(folder, &sweep);
    assert!(ae(folder, &sweep).out.contains("36"), "the results of the first are kept");
}

/// Colour images, convolutions on an image size that is detected, and pairs of folders.
#[test]
fn colours_convolutions_and_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let size = ImageSize { height: 6, width: 8, channels: 3 };
    for name in ["noisy", "clean"] {
        std::fs::create_dir(folder.join(name)).unwrap();
        for i in 0..20 {
            let levels: Vec<f32> = (0..size.features()).map(|at| ((at * (i + 3)) % 256) as f32).collect();
            write_image(folder.join(format!("{name}/{i}.png")), size, &levels).unwrap();
        }
    }
    let conv = ["train", "clean", "--conv", "4 3 s2", "--encoding-dim", "3", "--epochs", "2", "-o", MODEL];
    let said = ae(folder, &conv).out;
    assert!(said.contains("6x8x3"), "{said}");
    ae(folder, &["reconstruct", MODEL, "noisy", "-o", "out/", "-q"]);
    assert_eq!(images(&folder.join("out")).size, size);
    let pairs = ["train", "noisy", "--target", "clean", "--image", "3x4x3", "--encoding-dim", "3"];
    ae(folder, &[&pairs[..], &["--epochs", "2", "-o", "p.safetensors", "-q"]].concat());
    ae(folder, &["evaluate", "p.safetensors", "noisy", "--target", "clean", "-q"]);
    let grey = ["train", "clean", "--image", "6x8", "--encoding-dim", "3", "--epochs", "2", "-o", MODEL];
    let said = ae(folder, &grey).err;
    assert!(
        said.contains("20 colour images are read as greyscale; 6x8x3 would keep their colours"),
        "{said}"
    );
    let refused = ae_with(folder, &["train", "digits", "--conv", "4 3 s2"], b"", &[]);
    assert_eq!(refused.status, Some(2));
    assert!(refused.err.contains("--conv: give the size of the images with --image"), "{}", refused.err);
}

/// Generated images are numbered, and values other than pixel levels have the range of the training
/// images, which is 0 to 16, not that of these images.
#[test]
fn images_that_were_in_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let vae = ["train", "digits", "--image", "8x8", "--kind", "vae", "--encoding-dim", "3", "--epochs", "2"];
    ae(folder, &[&vae[..], &["-o", MODEL, "-q"]].concat());
    ae(folder, &["generate", MODEL, "--rows", "12", "-o", "made/"]);
    let made = images(&folder.join("made"));
    let names = made.rows.row_ids().unwrap();
    assert_eq!((names.len(), names[0].as_str(), names[11].as_str()), (12, "01.png", "12.png"));
    assert_eq!((made.size.height, made.size.width), (8, 8));
    ae(folder, &["generate", MODEL, "--rows", "12", "-o", "made.csv"]);
    let values = ae_data::read(folder.join("made.csv"), &ReadOptions::default()).unwrap();
    for (level, value) in made.rows.values().iter().zip(values.values()) {
        assert!((level - (value / 16.0 * 255.0).clamp(0.0, 255.0)).abs() <= 0.51, "{level} for {value}");
    }
    ae(folder, &["interpolate", MODEL, "digits", "--steps", "5", "-o", "way/"]);
    assert_eq!(images(&folder.join("way")).rows.rows(), 5);
    // The model's image size is also that of contact sheets.
    ae(folder, &["generate", MODEL, "-o", "sheet.png"]);
}
