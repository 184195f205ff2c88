//! Every check over its seeds, and over the inputs that found a fault: `regressions/TARGET/`, one file each.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

use tidewater_fuzz::{TARGETS, seeds};

#[test]
fn the_checks_hold_for_all_seeds() {
    for (target, check) in TARGETS {
        let seeds = seeds::of(target).unwrap();
        assert!(seeds.len() > 10, "{} seeds of {target}", seeds.len());
        seeds.iter().for_each(|seed| check(seed));
    }
}

#[test]
fn the_checks_hold_for_all_regressions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let (_, check) =
            TARGETS.iter().find(|(target, _)| *target == name).expect("a folder for each target");
        for file in fs::read_dir(entry.path()).unwrap() {
            let file = file.unwrap().path();
            println!("{}", file.display());
            check(&fs::read(file).unwrap());
        }
        names.insert(name);
    }
    let known: BTreeSet<String> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    assert_eq!(names, known);
}
