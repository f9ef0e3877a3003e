//! Plots, reports and exports, as people ask for them.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]

mod attack_world;
mod history;

use std::path::Path;
use std::process::{Command, Stdio};

use attack_world::World;
use history::{History, finished};

const PLOTS: [&str; 6] = ["learning", "accuracy-histogram", "qdepth", "qfield", "pareto", "curves"];
/// Those that need to be told more.
const TOLD: [&str; 3] = ["exposure", "stability", "simulate"];
/// Those of attacks (tests/attack_pictures.rs).
const ATTACKS: [&str; 3] = ["robustness", "destruction", "perturbation"];
const EVIL: &str = "</script><script>document.title='caught'</script>\"'&<b>";

#[test]
fn every_plot_is_listed_and_drawn_in_every_way() {
    let world = World::of(&finished());
    let listed = world.good(&["plots", "--format", "tsv", "--no-header"]);
    let names: Vec<&str> = listed.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, [&PLOTS[..], &TOLD, &ATTACKS].concat());
    for name in PLOTS {
        world.good(&["plot", name, "-o", "a.svg"]);
        assert!(world.read("a.svg").starts_with("<svg xmlns="), "{name}");
        assert!(world.read("a.svg").contains("s1 (first) on test, seed 3; as of event"), "{name}");
        world.good(&["plot", name, "-o", "a.png", "--theme", "dark"]);
        assert!(std::fs::read(world.path("a.png")).unwrap().starts_with(b"\x89PNG"), "{name}");
        let drawn = world.good(&["plot", name]);
        assert!(drawn.contains("as of event"), "{drawn}");
        assert_eq!(drawn, world.good(&["plot", name, "--format", "term"]), "{name}");
    }
    let exposure = ["plot", "exposure", "--policy", "uniform,sweep", "--seeds", "0..1"];
    world.good(&[&exposure[..], &["-o", "a.svg"]].concat());
    for text in ["How often is an experience learned from?", "uniform: ", "ε = 0.5", "seed 3"] {
        assert!(world.read("a.svg").contains(text), "{text}");
    }
    let drawn = world.good(&exposure);
    assert!(drawn.contains("sweep(passes=1): 0.0 % never drawn"), "{drawn}");
    assert_eq!(world.good(&["plot", "qdepth", "--format", "svg"]), {
        world.good(&["plot", "qdepth", "-o", "b.svg"]);
        world.read("b.svg")
    });
}

#[test]
fn mistakes_are_named() {
    let world = World::of(&finished());
    world.refuses_saying(
        &["plot", "lerning"],
        &["no plot is called `lerning`", "did you mean `learning`?"],
    );
    world.refuses_saying(
        &["plot", "learning", "-o", "a.jpg"],
        &["a.jpg", ".svg nor .png", "--format"],
    );
    world.refuses_saying(
        &["plot", "learning", "-o", "no/such/a.svg"],
        &["cannot write no/such/a.svg: No such file"],
    );
    world.refuses_saying(&["plot", "learning", "--search", "all"], &["one search, not all"]);
    world.refuses_saying(
        &["plot", "learning", "--search", "s9"],
        &["no search or run is called s9"],
    );
    world.refuses_saying(
        &["plot", "learning", "--at", "1"],
        &["s1 has no samples", "as of event 1"],
    );
    world.refuses_saying(&["plot", "exposure"], &["no policy is named"]);
    world.refuses_saying(&["plot", "exposure", "--study", "a"], &["no study is called a"]);
    world.refuses_saying(
        &["plot", "qdepth", "--policy", "uniform"],
        &["exposure takes the arguments of replay, simulate those of simulate"],
    );
    world.refuses_saying(&["plot", "pareto", "--seeds", "3"], &["exposure takes the arguments"]);
    world.refuses_saying(
        &["plot", "pareto", "--eps", "8"],
        &["pareto shows a search", "robustness"],
    );
    world.refuses_saying(&["plot", "robustness"], &["the store has no attack"]);
    world
        .refuses_saying(&["plot", "robustness", "--search", "s1"], &["robustness shows an attack"]);
    world.refuses_saying(&["report", "--at", "0"], &["has no search"]);
    world.refuses_saying(&["export", "qtable", "--columns", "18"], &["17 or 21"]);
    world.refuses_saying(&["export", "qtable", "--at", "1"], &["s1 has no Q-table"]);
    assert!(!world.path("a.jpg").exists() && !world.path("report.html").exists());
}

#[test]
fn a_search_that_has_begun_lacks_figures_but_has_a_report() {
    let world = World::of(&finished());
    world.good(&["report", "--at", "1"]);
    let page = world.read("report.html");
    assert!(!page.contains("<figure") && page.contains("As of event</dt><dd>1<"), "{page}");
}

#[test]
fn a_q_table_has_the_authors_columns() {
    let world = World::of(&finished());
    let lines =
        |columns| world.good(&["export", "qtable", "--layout", "metaqnn", "--columns", columns]);
    let (narrow, wide) = (lines("17"), lines("21"));
    let row = |text: &str, index: usize| text.lines().nth(index).unwrap().to_owned();
    assert_eq!(
        row(&narrow, 0),
        "end_fc_size,end_filter_depth,end_filter_size,end_image_size,end_layer_depth,\
         end_layer_type,end_stride,end_terminate,start_fc_size,start_filter_depth,\
         start_filter_size,start_image_size,start_layer_depth,start_layer_type,start_stride,\
         start_terminate,utility"
    );
    assert!(row(&wide, 0).contains("end_layer_type,end_split_depth,end_split_width,end_stride"));
    assert_eq!(narrow.lines().count(), wide.lines().count());
    // The first pair of any space: stop at once.
    assert!(row(&narrow, 1).starts_with("0,1,0,8,1,start,0,1,0,1,0,8,0,start,0,0,"), "{narrow}");
    assert!(
        row(&wide, 1).starts_with("0,1,0,8,1,start,0,0,0,1,0,1,0,8,0,start,0,0,0,0,"),
        "{wide}"
    );
    let table =
        world.good(&["table", "qtable", "--columns", "value", "--format", "csv", "--no-header"]);
    let utilities: Vec<&str> =
        narrow.lines().skip(1).map(|l| l.rsplit(',').next().unwrap()).collect();
    assert_eq!(utilities, table.lines().collect::<Vec<_>>());
    world.good(&["export", "qtable", "-o", "q.csv"]);
    assert_eq!(world.read("q.csv"), narrow);
}

/// The authors' own Q-table comes back as it went in.
#[test]
fn the_authors_q_table_survives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/metaqnn-svhn");
    if !folder.exists() {
        return eprintln!("skipped: the authors' log is not here");
    }
    let world = World::of(&finished());
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (log, q) = (file("replay_database.csv"), file("q_values.csv"));
    world.good(&["--store", "m", "import", "metaqnn", &log, "--q-values", &q]);
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let exported = world.good(&["--store", "m", "export", "qtable", "--columns", "21"]);
    assert!(sorted(exported) == sorted(std::fs::read_to_string(q).unwrap()));
    let drawn = world.good(&["--store", "m", "plot", "learning", "--format", "svg"]);
    assert!(drawn.contains("ε = 1: 52.3 %") && drawn.contains("mean of the last 100"), "{drawn}");
    assert!(drawn.contains("the order is that of the imported file"), "{drawn}");
}

fn evil(world: &World) -> String {
    let mut history = History::default();
    history.search(1, EVIL, 3, usize::MAX);
    history.store(&world.path("evil"));
    world.good(&["--store", "evil", "report", "-o", "evil.html"]);
    world.read("evil.html")
}

#[test]
fn a_report_needs_nothing_else_and_names_mean_themselves() {
    let world = World::of(&finished());
    let page = evil(&world);
    assert!(!page.contains("<script>document"), "a name became a script");
    assert_eq!(page.matches("<script").count(), 1);
    for reference in ["src=", "@import", "url(", "<iframe", "<link rel=\"stylesheet"] {
        assert!(!page.contains(reference), "{reference}");
    }
    let addresses = page.matches("http").count();
    let harmless =
        page.matches("http://www.w3.org/2000/svg").count() + page.matches("http-equiv").count();
    assert_eq!(addresses, harmless);
    for part in ["qtrail search --config s1.toml", "Logical digest", "Complete configuration"] {
        assert!(page.contains(part), "{part}");
    }
    let digest = world.good(&["--store", "evil", "log", "digest", "--logical"]);
    assert!(page.contains(digest.trim()));
    for name in PLOTS {
        assert!(page.contains(&format!("plot-{name}")), "{name}");
    }
}

/// In a real browser: no error, no script from names, and a click sorts.
#[test]
fn a_report_works_in_a_browser() {
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
    });
    let Some(browser) = browser else {
        return eprintln!("skipped: no chromium on PATH");
    };
    let world = World::of(&finished());
    // Clicks, and writes down what happened where --dump-dom shows it.
    let probe = "<script>
        const heads = document.querySelectorAll('#table-trials th button');
        const column = () => [...document.querySelectorAll('#table-trials tbody tr')].map((row) => row.cells[1].textContent);
        const out = [document.title, heads.length];
        heads[1].click(); out.push(column().join(' '));
        heads[1].click(); out.push(column().join(' '));
        out.push(window.errors.length);
        document.body.append(Object.assign(document.createElement('pre'), { id: 'probe', textContent: out.join('|') }));
        </script></body>";
    let page = evil(&world)
        .replace(
            "<head>",
            "<head><script>window.errors = []; window.onerror = (e) => errors.push(e);</script>",
        )
        .replace("</body>", probe);
    std::fs::write(world.path("probe.html"), page).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", world.path("browser").display()))
        .args(["--dump-dom", &format!("file://{}", world.path("probe.html").display())])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (page, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!log.contains("CONSOLE"), "{log}");
    let found = page.split("<pre id=\"probe\">").nth(1).and_then(|rest| rest.split('<').next());
    let found: Vec<&str> = found.unwrap_or_else(|| panic!("no probe: {log}")).split('|').collect();
    let [title, heads, down, up, errors] = found[..] else { panic!("{found:?}") };
    assert!(title.contains("document.title="), "a name became a script: {title}");
    assert!(heads.parse::<u32>().unwrap() > 5, "{heads}");
    let numbers = |text: &str| -> Vec<f64> {
        text.split(' ').filter_map(|number| number.parse().ok()).collect()
    };
    let (down, up) = (numbers(down), numbers(up));
    assert!(down.len() > 3 && down.is_sorted_by(|a, b| a >= b), "{down:?}");
    assert!(up.len() == down.len() && up.is_sorted(), "{up:?}");
    assert_eq!(errors, "0", "{log}");
}
