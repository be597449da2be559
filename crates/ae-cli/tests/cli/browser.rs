//! Reports as rendered by a browser. Skipped, with a message, if there is none.

use super::*;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Inspects the page from outside, so that it is the page that users get: its width, by how much it
/// overflows, the size of the smallest text in a chart, and what it has loaded.
const FRAME: &str = "<!DOCTYPE html><html><body style='margin:0'>
<iframe id='page' width='WIDTH' height='900' style='border:0' src='report.html'></iframe>
<script>onload = () => {
  const inner = document.getElementById('page').contentWindow, root = inner.document.documentElement;
  const sizes = [...inner.document.querySelectorAll('svg text')].map(text =>
    parseFloat(inner.getComputedStyle(text).fontSize) * text.getScreenCTM().a);
  const cut = [...inner.document.querySelectorAll('svg')].reduce((most, svg) => {
    const right = svg.getBoundingClientRect().right;
    return Math.max(most, ...[...svg.querySelectorAll('text')].map(text => text.getBoundingClientRect().right - right));
  }, -1);
  document.documentElement.dataset.found = [inner.innerWidth, root.scrollWidth - root.clientWidth, Math.min(...sizes),
    inner.performance.getEntriesByType('resource').length, sizes.length, cut].join(' ');
};</script></body></html>";

fn browser() -> Option<&'static str> {
    let runs = |name: &&str| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    BROWSERS.into_iter().find(runs)
}

/// What the frame finds in a folder's `report.html` at this width, and the browser's log.
fn look(browser: &str, folder: &Path, width: usize) -> ([f64; 6], String) {
    write(folder, "frame.html", FRAME.replace("WIDTH", &width.to_string()));
    let profile = folder.join("profile");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
        ])
        .args(["--enable-logging=stderr", "--log-level=0", "--window-size=1300,1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", folder.join("frame.html").display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom.split("data-found=\"").nth(1).and_then(|rest| rest.split('"').next());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = found.unwrap_or_else(|| panic!("the page was not looked at: {said}"));
    let numbers: Vec<f64> = found.split(' ').map(|number| number.parse().unwrap()).collect();
    (numbers.try_into().unwrap(), said)
}

#[test]
fn reports_fit_into_browsers_and_load_nothing() {
    let Some(browser) = browser() else {
        println!("skipped: none of {BROWSERS:?} is there");
        return;
    };
    let dir = trained();
    let folder = dir.path();
    // Long names, on both axes of charts and in tables.
    let long = table().replace("height", "the height of the body from head to toe in millimetres");
    write(folder, "long.csv", &long);
    ae(
        folder,
        &["train", "long.csv", "--encoding-dim", "2", "--epochs", "3", "-q", "-o", "long.safetensors"],
    );
    ae(folder, &["train", "digits", "--epochs", "3", "--encoding-dim", "8", "-q", "-o", "d.safetensors"]);
    let sweep =
        ["sweep", "digits", "--sizes", "2,4,8", "--epochs", "2", "--hidden", "none", "-o", "sizes.csv"];
    ae(folder, &sweep);
    // Few rows, so that the maps are quick.
    let few: String = ae(folder, &["reconstruct", "d.safetensors", "digits"])
        .out
        .lines()
        .take(150)
        .fold(String::new(), |text, line| text + line + "\n");
    write(folder, "few.csv", few);
    let images = ["report", "d.safetensors", "few.csv", "--image", "8x8", "-q"];
    let table = ["report", "long.safetensors", "long.csv", "-q"];
    for report in [&[&images[..], &["--sweep", "sizes.csv", "--compare"]].concat()[..], &table] {
        ae(folder, report);
        for width in [360, 1200] {
            let ([inner, over, smallest, loaded, texts, cut], said) = look(browser, folder, width);
            assert_eq!((inner, over), (width as f64, 0.0), "{report:?} at {width} is {over} pixels too wide");
            assert!(smallest >= 11.0, "{report:?} at {width}: text of {smallest:.1} pixels");
            assert!(cut <= 0.0, "{report:?} at {width}: a text of a chart is cut by {cut:.1} pixels");
            assert!(texts > 10.0, "{report:?}: {texts} texts in charts");
            assert_eq!(loaded, 0.0, "{report:?} loads something");
            let console: Vec<&str> = said.lines().filter(|line| line.contains(":CONSOLE")).collect();
            assert!(console.is_empty(), "{report:?} at {width}: {console:?}");
        }
    }
}
