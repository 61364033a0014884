//! What the simulator is told: bad input gets the allowed values.

use watt_sim::scenario::{self, Scenario, Until};

/// Every scenario that comes with the program is well formed, has its own name and one sentence; those that wait say for what.
#[test]
fn the_catalogue_is_in_order() {
    let all = scenario::all().unwrap();
    let mut names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().all(|scenario| scenario.about.ends_with('.')));
    assert!(all.iter().filter(|scenario| scenario.waits_for.is_none()).count() >= 30);
}

/// Every file in the folder is in the catalogue.
#[test]
fn no_scenario_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        scenario::find(name).unwrap();
    }
}

fn refused(text: &str) -> String {
    Scenario::parse("mine", text).unwrap_err().to_string()
}

/// An unknown scenario, word or key gets the list of those that exist.
#[test]
fn unknown_words_get_the_known_ones() {
    let unknown = scenario::find("quiet-dya").unwrap_err();
    assert!(
        unknown.contains("quiet-day") && unknown.contains("rolling-restart"),
        "{unknown}"
    );
    let act = refused("about = \"x.\"\n[[at]]\nheight = 1\ndo = \"explode\"\n");
    assert!(act.contains("explode") && act.contains("power-cut"), "{act}");
    let key = refused("about = \"x.\"\n[network]\nvalidater = 4\n");
    assert!(key.contains("validater") && key.contains("validators"), "{key}");
    let weather = refused("about = \"x.\"\n[network]\nweather = \"snow\"\n");
    assert!(weather.contains("storm"), "{weather}");
}

/// A number out of its range gets the range, at the limit and one above.
#[test]
fn impossible_numbers_get_the_range() {
    let with = |n: u32| Scenario::parse("mine", &format!("about = \"x.\"\n[network]\nvalidators = {n}\n"));
    assert!(with(61).is_ok());
    assert_eq!(
        with(62).unwrap_err().to_string(),
        "scenario mine: network.validators is 62, possible are 1 to 61"
    );
    assert!(with(0).is_err());
    let actors = refused("about = \"x.\"\n[[actors]]\nactor = \"equivocator\"\ncount = 5\n");
    assert!(actors.contains("0 to 4"), "{actors}");
}

/// A step says when and, where it needs it, how much.
#[test]
fn steps_lack_nothing() {
    let step = |rest: &str| refused(&format!("about = \"x.\"\n[[at]]\n{rest}\n"));
    assert!(step("do = \"heal\"").contains("either `height` or `second`"));
    assert!(step("do = \"heal\"\nheight = 1\nsecond = 2").contains("either `height` or `second`"));
    assert!(step("do = \"weather\"\nheight = 1").contains("storm"));
    assert!(step("do = \"skew\"\nheight = 1").contains("amount"));
    assert!(step("do = \"stop\"\nheight = 1\ncount = 1\npermille = 1").contains("not both"));
}

/// The end of a run is `height=N` or `second=N`.
#[test]
fn an_end_is_a_height_or_a_second() {
    assert_eq!("height=40".parse(), Ok(Until::Height(40)));
    assert_eq!("second=7".parse(), Ok(Until::Second(7)));
    for wrong in ["40", "height", "height=x", "blocks=4"] {
        let error = wrong.parse::<Until>().unwrap_err();
        assert!(
            error.contains("height=N") && error.contains("second=N"),
            "{error}"
        );
    }
}

/// What waits for a part that is not built says so and does not run.
#[test]
fn waiting_scenarios_do_not_run() {
    use watt_sim::director::Director;
    use watt_sim::trace::Sink;
    let waiting = scenario::Scenario {
        waits_for: Some("a part that nobody built".to_owned()),
        ..scenario::find("restart-plan").unwrap()
    };
    let error = Director::new(&waiting, 1, None, Sink::None).err().unwrap();
    assert!(error.contains("waits for"), "{error}");
}
