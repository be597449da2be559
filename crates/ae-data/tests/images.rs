//! Folders of images: files of all kinds as rows, and the errors for files that are not images.
#![cfg(feature = "images")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use std::fs;
use std::path::Path;

use ae_data::{Dataset, ImageSize, Images, ReadOptions, read, read_images, write_image};
use jpeg_encoder::{ColorType as JpegColour, Encoder as JpegEncoder};
use png::{BitDepth, ColorType};

const GREY: ImageSize = ImageSize { height: 2, width: 3, channels: 1 };

fn options(image: Option<ImageSize>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.image = image;
    options
}

fn images(folder: &Path, image: Option<ImageSize>) -> Images {
    read_images(folder, &options(image)).unwrap()
}

fn refusal(folder: &Path, image: Option<ImageSize>) -> String {
    let message = ae_testing::chain(&read_images(folder, &options(image)).unwrap_err());
    message.replace(folder.to_str().unwrap(), "F")
}

/// A PNG file of any kind.
fn png(path: &Path, (height, width): (u32, u32), kind: ColorType, depth: BitDepth, data: &[u8]) {
    png_with(path, (height, width), kind, depth, data, |_| ());
}

fn png_with(
    path: &Path,
    (height, width): (u32, u32),
    kind: ColorType,
    depth: BitDepth,
    data: &[u8],
    adjust: impl FnOnce(&mut png::Encoder<'_, fs::File>),
) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
    encoder.set_color(kind);
    encoder.set_depth(depth);
    adjust(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
}

fn grey(path: &Path, levels: &[u8; 6]) {
    png(path, (2, 3), ColorType::Grayscale, BitDepth::Eight, levels);
}

fn jpeg(
    path: &Path,
    (height, width): (u16, u16),
    kind: JpegColour,
    data: &[u8],
    adjust: impl FnOnce(&mut JpegEncoder<fs::File>),
) {
    let mut encoder = JpegEncoder::new(fs::File::create(path).unwrap(), 100);
    adjust(&mut encoder);
    encoder.encode(data, width, height, kind).unwrap();
}

#[test]
fn every_depth_and_colour() {
    let dir = tempfile::tempdir().unwrap();
    let one = |name: &str, kind, depth, data: &[u8]| {
        let path = dir.path().join(name).join("1.png");
        png(&path, (1, 2), kind, depth, data);
        images(path.parent().unwrap(), None)
    };
    type Case = (&'static str, ColorType, BitDepth, &'static [u8], &'static [f32]);
    let cases: [Case; 9] = [
        ("bits", ColorType::Grayscale, BitDepth::One, &[0b0100_0000], &[0.0, 255.0]),
        ("quarters", ColorType::Grayscale, BitDepth::Two, &[0b0110_0000], &[85.0, 170.0]),
        ("grey", ColorType::Grayscale, BitDepth::Eight, &[7, 255], &[7.0, 255.0]),
        ("fine", ColorType::Grayscale, BitDepth::Sixteen, &[0xff, 0xff, 0x01, 0x02], &[255.0, 258.0 / 257.0]),
        // Partly transparent black and fully transparent grey, on white.
        ("veil", ColorType::GrayscaleAlpha, BitDepth::Eight, &[0, 51, 9, 0], &[204.0, 255.0]),
        ("colour", ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 4, 5, 6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        // Stored as colours, but grey.
        ("pale", ColorType::Rgb, BitDepth::Eight, &[9, 9, 9, 4, 4, 4], &[9.0, 4.0]),
        (
            "glass",
            ColorType::Rgba,
            BitDepth::Eight,
            &[1, 2, 3, 255, 1, 2, 3, 0],
            &[1.0, 2.0, 3.0, 255.0, 255.0, 255.0],
        ),
        (
            "deep",
            ColorType::Rgba,
            BitDepth::Sixteen,
            &[1, 1, 2, 2, 3, 3, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255],
            &[1.0, 2.0, 3.0, 0.0, 0.0, 0.0],
        ),
    ];
    for (name, kind, depth, data, expected) in cases {
        let found = one(name, kind, depth, data);
        assert_eq!(found.rows.values(), expected, "{name}");
        assert_eq!(found.size, ImageSize { height: 1, width: 2, channels: expected.len() / 2 }, "{name}");
    }
    let path = dir.path().join("palette").join("1.png");
    png_with(&path, (1, 2), ColorType::Indexed, BitDepth::One, &[0b0100_0000], |encoder| {
        encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
        encoder.set_trns(vec![255, 0]);
    });
    assert_eq!(images(path.parent().unwrap(), None).rows.values(), [10.0, 20.0, 30.0, 255.0, 255.0, 255.0]);
}

#[test]
fn one_folder_of_many_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    grey(&folder.join("img10.png"), &[10; 6]);
    grey(&folder.join("img2.PNG"), &[2; 6]);
    png(&folder.join("img3.png"), (2, 3), ColorType::Grayscale, BitDepth::Sixteen, &[0x80; 12]);
    fs::write(folder.join("notes.txt"), "no image").unwrap();
    fs::write(folder.join(".hidden.png"), "no image").unwrap();
    let plain = images(folder, None);
    assert_eq!(plain.rows.row_ids().unwrap(), ["img2.PNG", "img3.png", "img10.png"]);
    assert_eq!((plain.size, plain.others, plain.resized), (GREY, 1, 0));
    assert_eq!(plain.rows.names().unwrap()[4], "grey_1_1");
    let levels: Vec<f32> = [2.0, 128.0, 10.0].into_iter().flat_map(|level| [level; 6]).collect();
    assert_eq!(plain.rows.values(), levels);
    assert_eq!(plain.rows.labels(), None);

    // A single colour image gives all of them three channels.
    png(&folder.join("img4.png"), (2, 3), ColorType::Rgb, BitDepth::Eight, &[255, 0, 0].repeat(6));
    let colour = images(folder, None);
    assert_eq!(colour.size, ImageSize { channels: 3, ..GREY });
    assert_eq!(colour.rows.row(2).unwrap(), [255.0, 0.0, 0.0].repeat(6));
    assert_eq!(colour.rows.row(1).unwrap(), [128.0; 18]);
    assert_eq!(colour.rows.names().unwrap()[..4], ["red_0_0", "green_0_0", "blue_0_0", "red_0_1"]);
    // Converted to grey on request, and counted.
    let paler = images(folder, Some(GREY));
    assert_eq!((paler.size, paler.greyed, paler.resized), (GREY, 1, 0));
    assert!((paler.rows.row(2).unwrap()[0] - 0.299 * 255.0).abs() < 1e-4);

    // The rows do not depend on the number of threads, and `read` also reads folders.
    for threads in [1, 3, 7] {
        let mut options = options(None);
        options.threads = Some(threads);
        assert_eq!(read(folder.to_str().unwrap(), &options).unwrap(), colour.rows);
    }
}

#[test]
fn folders_are_labels() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    for (place, name) in ["10/1.png", "2/b/1.png", "2/a/7.png"].into_iter().enumerate() {
        grey(&folder.join(name), &[place as u8; 6]);
    }
    let found = images(folder, None);
    assert_eq!(found.rows.row_ids().unwrap(), ["2/a/7.png", "2/b/1.png", "10/1.png"]);
    let labels = found.rows.labels().unwrap();
    assert_eq!((labels.names(), labels.codes()), (&["2".to_owned(), "10".to_owned()][..], &[0, 0, 1][..]));
    let mut wanted = options(None);
    wanted.label = Some("label".to_owned());
    assert_eq!(read_images(folder, &wanted).unwrap(), found);
    wanted.label = Some("kind".to_owned());
    assert!(
        read_images(folder, &wanted)
            .unwrap_err()
            .to_string()
            .ends_with("no column 'kind'; there are 'label'")
    );
    // One image next to the folders: no labels.
    grey(&folder.join("0.png"), &[0; 6]);
    let mixed = images(folder, None);
    assert_eq!((mixed.rows.labels(), mixed.is_mixed, mixed.rows.rows()), (None, true, 4));
    wanted.label = Some("label".to_owned());
    assert!(
        read_images(folder, &wanted).unwrap_err().to_string().contains("some images are in no subfolder")
    );
}

#[test]
fn images_are_scaled() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let ramp: Vec<u8> = (0..8 * 8).map(|i| (i % 8 * 8) as u8).collect();
    png(&folder.join("1.png"), (8, 8), ColorType::Grayscale, BitDepth::Eight, &ramp);
    png(&folder.join("2.png"), (4, 8), ColorType::Grayscale, BitDepth::Eight, &ramp[..32]);
    png(&folder.join("3.png"), (4, 4), ColorType::Grayscale, BitDepth::Eight, &[9; 16]);
    let size = ImageSize { height: 4, width: 4, channels: 1 };
    let found = images(folder, Some(size));
    assert_eq!((found.resized, found.stretched), (2, 1));
    for line in found.rows.values()[..32].chunks(4) {
        assert_eq!(line[1..3], [20.0, 36.0]);
    }
    assert_eq!(found.rows.row(2).unwrap(), [9.0; 16]);
    assert_eq!(
        refusal(folder, None),
        "F/2.png: the image has 4x8 pixels, but F/1.png has 8x8 (height and width)"
    );
    let size = ImageSize { channels: 2, ..size };
    assert_eq!(
        refusal(folder, Some(size)),
        "4x4x2 is not a valid image size: height and width must be at least 1, channels 1 or 3"
    );
}

#[test]
fn jpeg_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let near = |rows: &Dataset, row: usize, expected: &[f32]| {
        let apart = rows.row(row).unwrap().iter().zip(expected).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) <= 3.0, "{:?} {expected:?}", rows.row(row));
    };
    // Upper half dark, lower half light.
    let halves: Vec<u8> = (0..256).map(|i| if i < 128 { 40 } else { 200 }).collect();
    let levels: Vec<f32> = halves.iter().map(|level| f32::from(*level)).collect();
    jpeg(&folder.join("1.jpg"), (16, 16), JpegColour::Luma, &halves, |_| ());
    jpeg(&folder.join("2.jpeg"), (16, 16), JpegColour::Luma, &halves, |encoder| {
        encoder.set_progressive(true);
    });
    // Stored on its side, as cameras do, and displayed upright.
    let side: Vec<u8> = (0..256).map(|i| if i % 16 < 8 { 40 } else { 200 }).collect();
    jpeg(&folder.join("3.jpg"), (16, 16), JpegColour::Luma, &side, |encoder| {
        let exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        encoder.add_app_segment(1, exif.to_vec()).unwrap();
    });
    // PNG by its content, despite its name.
    png(&folder.join("4.jpg"), (16, 16), ColorType::Grayscale, BitDepth::Eight, &halves);
    let found = images(folder, None);
    assert_eq!((found.size.channels, found.rows.rows()), (1, 4));
    for row in 0..4 {
        near(&found.rows, row, &levels);
    }
    let colour: Vec<u8> = [200, 30, 90].repeat(256);
    jpeg(&folder.join("5.jpg"), (16, 16), JpegColour::Rgb, &colour, |_| ());
    let found = images(folder, None);
    assert_eq!(found.size.channels, 3);
    near(&found.rows, 4, &[200.0, 30.0, 90.0].repeat(256));
}

/// Grey is 0.299 red + 0.587 green + 0.114 blue.
#[test]
fn colours_have_their_shares_of_grey() {
    let dir = tempfile::tempdir().unwrap();
    let pixels = [200, 0, 0, 0, 200, 0, 0, 0, 200, 10, 20, 30, 7, 7, 7, 255, 255, 255];
    png(&dir.path().join("1.png"), (2, 3), ColorType::Rgb, BitDepth::Eight, &pixels);
    let rows = images(dir.path(), Some(GREY)).rows;
    for (level, expected) in rows.values().iter().zip([59.8, 117.4, 22.8, 18.15, 7.0, 255.0]) {
        assert!((level - expected).abs() < 1e-3, "{level} {expected}");
    }
}

/// Stored as 16 lines of 24 pixels, displayed as 24 lines of 16.
#[test]
fn sizes_are_those_of_images_upright() {
    let dir = tempfile::tempdir().unwrap();
    let side: Vec<u8> = (0..24 * 16).map(|i| if i % 24 < 8 { 40 } else { 200 }).collect();
    jpeg(&dir.path().join("1.jpg"), (16, 24), JpegColour::Luma, &side, |encoder| {
        let exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        encoder.add_app_segment(1, exif.to_vec()).unwrap();
    });
    png(&dir.path().join("2.png"), (24, 16), ColorType::Grayscale, BitDepth::Eight, &[40; 24 * 16]);
    let found = images(dir.path(), None);
    assert_eq!((found.size, found.resized), (ImageSize { height: 24, width: 16, channels: 1 }, 0));
    let (dark, light) = found.rows.row(0).unwrap().split_at(8 * 16);
    assert!(dark.iter().all(|level| (level - 40.0).abs() <= 3.0), "{dark:?}");
    assert!(light.iter().all(|level| (level - 200.0).abs() <= 3.0), "{light:?}");
}

#[test]
fn what_is_no_image_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    assert_eq!(refusal(folder, None), "F: no images (.png, .jpg, .jpeg) in this folder");
    fs::write(folder.join("notes.txt"), "1").unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    assert_eq!(refusal(folder, None), "F: no images (.png, .jpg, .jpeg) in this folder, but 1 other file");
    assert!(refusal(&folder.join("nowhere"), None).starts_with("F: No such file"));
    for size in [None, Some(GREY)] {
        let path = folder.join("a.png");
        let says = |bytes: &[u8], expected: &str| {
            fs::write(&path, bytes).unwrap();
            let found = refusal(folder, size);
            assert!(found.starts_with("F/a.png: ") && found.contains(expected), "{found}");
        };
        says(b"", "not a valid image file: the file is empty");
        says(b"GIF89a and more", "it is neither a PNG nor a JPEG file");
        says(b"\x89PNG\r\n\x1a\nnothing", "not a valid PNG file");
        says(b"\x89PN", "it is neither a PNG nor a JPEG file");
        says(b"\xff\xd8", "not a valid JPEG file: it is truncated");
        says(b"\xff\xd8\xff\xe0\0\x10JFIF\0", "not a valid JPEG file");
        // A header that claims 100,000 by 100,000 pixels.
        let mut header = b"IHDR\0\x01\x86\xa0\0\x01\x86\xa0\x08\0\0\0\0".to_vec();
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        header.extend(crc.sum().to_be_bytes());
        let idat = b"\0\0\0\0IDAT\x35\xaf\x06\x1e";
        says(
            &[b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &header[..], idat].concat(),
            "an image of 100000x100000 pixels is too large: the limit is 512 MiB",
        );
        // The error is that of the first bad image, whatever the number of threads.
        fs::write(&path, b"").unwrap();
        grey(&folder.join("0.png"), &[0; 6]);
        fs::write(folder.join("b.png"), b"").unwrap();
        assert_eq!(refusal(folder, size), "F/a.png: not a valid image file: the file is empty");
        fs::remove_file(folder.join("b.png")).unwrap();
        fs::remove_file(folder.join("0.png")).unwrap();
    }
}

/// A PNG file with this header (width, height, depth, colour type) and these further chunks.
fn png_file((width, height): (u32, u32), depth: u8, colour: u8, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in std::iter::once(&(b"IHDR", &header[..])).chain(chunks) {
        let mut crc = flate2::Crc::new();
        crc.update(*name);
        crc.update(data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend([&name[..], data, &crc.sum().to_be_bytes()].concat());
    }
    file
}

/// One pixel, zlib-compressed.
const PIXEL: &[u8] = b"x\x9cc`\0\0\0\x02\0\x01";

#[test]
fn palettes_hold_whole_colours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    for size in [None, Some(GREY)] {
        for len in [1, 4, 55] {
            let palette = vec![0; len];
            let chunks: [(&[u8; 4], &[u8]); 3] = [(b"PLTE", &palette), (b"IDAT", PIXEL), (b"IEND", b"")];
            fs::write(&path, png_file((1, 1), 8, 3, &chunks)).unwrap();
            let said = refusal(dir.path(), size);
            assert!(said.starts_with("F/a.png: not a valid PNG file: "), "{len}: {said}");
        }
    }
}

/// Small files that claim to hold large images are refused before memory is taken for them.
#[test]
fn what_a_header_claims_is_limited() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let empty: [(&[u8; 4], &[u8]); 1] = [(b"IDAT", b"x\x9c\x03\0\0\0\0\x01")];
    fs::write(&path, png_file((23_170, 23_170), 1, 0, &empty)).unwrap();
    let large = "F: images of 23170x23170x1 are too large: they have 536848900 values, \
                 but a row can have at most 16777216";
    assert_eq!(refusal(dir.path(), None), large);
    // Sixteen bits of three colours: the pixels alone are not the limit.
    fs::write(&path, png_file((10_000, 10_000), 16, 2, &empty)).unwrap();
    let large = "F/a.png: an image of 10000x10000 pixels is too large: the limit is 512 MiB";
    assert_eq!(refusal(dir.path(), None), large);
    assert_eq!(refusal(dir.path(), Some(GREY)), large);
    let size = ImageSize { height: 4097, width: 4096, channels: 1 };
    let large = "F: images of 4097x4096x1 are too large: they have 16781312 values, \
                 but a row can have at most 16777216";
    assert_eq!(refusal(dir.path(), Some(size)), large);
}

/// Every truncated file is an error, and no damage causes a panic.
#[test]
fn damaged_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let noise: Vec<u8> = (0..24 * 20 * 3u32).map(|i| (i * i % 251) as u8).collect();
    let size = ImageSize { height: 5, width: 5, channels: 3 };
    let path = folder.join("image");
    png(&path, (24, 20), ColorType::Rgb, BitDepth::Eight, &noise);
    let mut files = vec![fs::read(&path).unwrap()];
    for is_progressive in [false, true] {
        jpeg(&path, (24, 20), JpegColour::Rgb, &noise, |encoder| encoder.set_progressive(is_progressive));
        files.push(fs::read(&path).unwrap());
    }
    fs::remove_file(&path).unwrap();
    let path = folder.join("image.png");
    let mut seed = 1u32;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    for whole in files {
        for len in (0..whole.len()).step_by(7).chain(whole.len() - 12..whole.len()) {
            fs::write(&path, &whole[..len]).unwrap();
            let message = refusal(folder, Some(size));
            assert!(message.starts_with("F/image.png: not a valid "), "{len} of {}: {message}", whole.len());
        }
        for _ in 0..400 {
            let mut damaged = whole.clone();
            for _ in 0..1 + draw(4) {
                let at = draw(damaged.len());
                damaged[at] = draw(256) as u8;
            }
            fs::write(&path, damaged).unwrap();
            let _ = read_images(folder, &options(Some(size)));
            let _ = read_images(folder, &options(None));
        }
    }
}

#[test]
fn written_images_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let levels = [-3.0, 0.4, 0.6, 254.5, 300.0, 7.0];
    write_image(folder.join("1.png"), GREY, &levels).unwrap();
    assert_eq!(images(folder, None).rows.values(), [0.0, 0.0, 1.0, 255.0, 255.0, 7.0]);
    let colour = ImageSize { height: 1, width: 2, channels: 3 };
    write_image(folder.join("1.png"), colour, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    assert_eq!(images(folder, None).rows.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let says =
        |size, levels: &[f32]| write_image(folder.join("2.png"), size, levels).unwrap_err().to_string();
    assert_eq!(says(GREY, &levels[..5]), "5 values do not match an image (6 values each)");
    assert!(says(ImageSize { channels: 4, ..GREY }, &[0.0; 24]).contains("2x3x4 is not a valid image size"));
    assert!(says(ImageSize { height: 0, ..GREY }, &[]).contains("0x3x1 is not a valid image size"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    grey(&folder.join("kept/1.png"), &[1; 6]);
    fs::create_dir(folder.join("set")).unwrap();
    std::os::unix::fs::symlink("../kept", folder.join("set/linked")).unwrap();
    assert_eq!(images(&folder.join("set"), None).rows.row_ids().unwrap(), ["linked/1.png"]);
    std::os::unix::fs::symlink("..", folder.join("kept/up")).unwrap();
    assert!(refusal(folder, None).contains("a link to a parent folder"));
    fs::remove_file(folder.join("kept/up")).unwrap();
    std::os::unix::fs::symlink("nowhere.png", folder.join("kept/2.png")).unwrap();
    assert!(refusal(folder, None).contains("2.png: No such file"));
}
