//! Following, one rotation at a time.

use std::fs;
use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use twdiag::detect::{Assume, End};
use twdiag::state::Place;
use twdiag::tail::{Clock, Input, StartAt};
use twdiag::tally::Rotation;

use crate::rig::{Rig, append, gzip};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn waits_for_a_file_and_reads_it_from_its_beginning() {
    let mut rig = Rig::with("app.log", |plan| plan.sources[0].start_at = StartAt::End);
    rig.start();
    assert!(rig.scrape().caught_up);
    rig.write("app.log", 3);
    rig.check(3, &[]);
}

#[test]
fn what_cannot_be_looked_at_under_a_pattern_is_waited_for() {
    let mut rig = Rig::new("*.log");
    std::os::unix::fs::symlink("app.log", rig.path("app.log")).unwrap();
    rig.start();
    rig.check_after(LONG, 0, &[], 0);
    assert_eq!(rig.tally().read_errors, 1);
    fs::remove_file(rig.path("app.log")).unwrap();
    rig.write("app.log", 2);
    rig.check_after(LONG, 2, &[], 0);
}

#[test]
fn a_directory_that_comes_back_is_not_read_again() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 3);
    rig.start();
    rig.check_after(LONG, 3, &[], 0);
    let (logs, gone) = (rig.directory.path().join("logs"), rig.directory.path().join("gone"));
    fs::rename(&logs, &gone).unwrap();
    rig.pass(Duration::from_millis(300));
    fs::rename(&gone, &logs).unwrap();
    rig.write("app.log", 1);
    assert_eq!(rig.errors(), 4, "a scrape reads first");
    // Longer than anything is waited for, over a start.
    fs::rename(&logs, &gone).unwrap();
    rig.start();
    rig.pass(LONG * 25);
    fs::rename(&gone, &logs).unwrap();
    rig.write("app.log", 2);
    rig.pass(LONG);
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (6, 0));
}

/// Copies an archive of which the rest was read, and looks for what counts again.
#[track_caller]
fn check_copied(mut rig: Rig) {
    gzip(&rig.path("app.log.1"), &rig.path("app.log.1.gz"));
    rig.start();
    rig.pass(LONG * 3);
    assert_eq!(rig.errors(), 5);
    fs::copy(rig.path("app.log.1.gz"), rig.path("app.log.7.gz")).unwrap();
    rig.start();
    rig.pass(LONG * 3);
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (5, 0));
}

#[test]
fn the_rest_of_a_file_in_an_archive_counts_once_however_often_that_is_copied() {
    let rotated = |late: bool| {
        let mut rig = Rig::new("app.log");
        rig.write("app.log", 3);
        rig.start();
        rig.pass(LONG);
        if !late {
            rig.kill();
        }
        rig.rename("app.log", "app.log.1");
        rig.write("app.log", 0);
        rig.pass(LONG);
        rig.write("app.log.1", 2);
        rig
    };
    check_copied(rotated(false));
    check_copied(rotated(true));
}

#[test]
fn a_file_is_read_on_while_its_directory_is_away() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 1);
    rig.start();
    // Long enough for nobody to look at it for its own sake.
    rig.check_after(LONG * 3, 1, &[], 0);
    let gone = rig.directory.path().join("gone");
    fs::rename(rig.directory.path().join("logs"), &gone).unwrap();
    rig.pass(LONG);
    let lines = rig.lines(2);
    append(&gone.join("app.log"), &lines);
    rig.check_after(Duration::from_secs(2), 3, &[], 0);
}

#[test]
fn what_stands_in_a_directory_that_is_gone_is_not_given_up() {
    let mut rig = Rig::new("app.log");
    rig.start();
    append(&rig.path("app.log"), "ERROR ConnectionError (310");
    rig.pass(LONG);
    append(&rig.path("app.log"), "05): lost\n");
    fs::copy(rig.path("app.log"), rig.path("app.log.1")).unwrap();
    fs::File::options().write(true).open(rig.path("app.log")).unwrap().set_len(0).unwrap();
    let (logs, gone) = (rig.directory.path().join("logs"), rig.directory.path().join("gone"));
    fs::rename(&logs, &gone).unwrap();
    rig.pass(LONG);
    fs::rename(&gone, &logs).unwrap();
    rig.write("app.log", 1);
    rig.pass(LONG);
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (2, 0));
}

#[test]
fn begins_at_the_end_of_what_was_there() {
    let mut rig = Rig::with("*.log", |plan| plan.sources[0].start_at = StartAt::End);
    rig.write("app.log", 3);
    rig.start();
    rig.write("app.log", 2);
    rig.write("new.log", 1);
    rig.check_after(LONG, 3, &[], 0);
}

#[test]
fn half_a_line_is_finished_after_a_restart() {
    let mut rig = Rig::new("app.log");
    rig.start();
    append(&rig.path("app.log"), "ERROR ConnectionError (310");
    rig.check_after(LONG, 0, &[], 0);
    rig.kill();
    append(&rig.path("app.log"), "05): lost\n");
    rig.start();
    rig.check_after(LONG, 1, &[], 0);
}

#[test]
fn a_code_of_an_open_record_is_not_counted_again_after_a_restart() {
    let mut rig = Rig::new("app.log");
    rig.start();
    append(&rig.path("app.log"), "ERROR ConnectionError (31005): lost\n");
    rig.check(1, &[]);
    rig.kill();
    append(&rig.path("app.log"), "    at ConnectionError (31005): lost\n");
    rig.start();
    rig.check_after(LONG, 1, &[], 0);
}

#[test]
fn a_writer_keeps_the_old_file_after_a_rename() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 2);
    rig.start();
    let lines = rig.lines(2);
    let mut old = fs::OpenOptions::new().append(true).open(rig.path("app.log")).unwrap();
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", 1);
    rig.check(3, &[(Rotation::Rename, 1)]);
    old.write_all(lines.as_bytes()).unwrap();
    rig.check_after(LONG, 5, &[(Rotation::Rename, 1)], 0);
}

#[test]
fn several_renames_between_two_looks() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 40);
    rig.start();
    for _ in 0..3 {
        rig.write("app.log", 30);
        for number in (1..5).rev().filter(|number| rig.path(&format!("app.log.{number}")).exists()) {
            rig.rename(&format!("app.log.{number}"), &format!("app.log.{}", number + 1));
        }
        rig.rename("app.log", "app.log.1");
    }
    rig.write("app.log", 1);
    rig.check_after(LONG, 131, &[(Rotation::Rename, 1)], 0);
}

#[test]
fn copytruncate_under_each_pattern() {
    for pattern in ["app.log", "app.log*", ""] {
        let mut rig = Rig::new(pattern);
        rig.write("app.log", 3);
        rig.start();
        rig.check(3, &[]);
        // Two records are written that only the copy shows.
        rig.write("app.log", 2);
        fs::copy(rig.path("app.log"), rig.path("app.log.1")).unwrap();
        fs::File::options().write(true).open(rig.path("app.log")).unwrap().set_len(0).unwrap();
        rig.check(5, &[(Rotation::Truncate, 1)]);
        rig.write("app.log", 1);
        rig.check_after(LONG, 6, &[(Rotation::Truncate, 1)], 0);
        rig.kill();
        rig.start();
        rig.check_after(LONG, 6, &[(Rotation::Truncate, 1)], 0);
    }
}

#[test]
fn what_was_read_between_copy_and_truncation_is_not_counted_again() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 0);
    rig.start();
    for round in 1..=2 {
        rig.write("app.log", 20);
        rig.read("app.log");
        fs::copy(rig.path("app.log"), rig.path(&format!("app.log.{round}"))).unwrap();
        rig.write("app.log", 2);
        rig.read("app.log");
        fs::File::options().write(true).open(rig.path("app.log")).unwrap().set_len(0).unwrap();
        // A look meets the copy before the truncation.
        rig.wake();
        rig.check_after(Duration::from_secs(1), 22 * round, &[(Rotation::Truncate, round)], 0);
    }
    rig.start();
    rig.check_after(LONG, 44, &[(Rotation::Truncate, 2)], 0);
}

#[test]
fn truncation_without_a_copy() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 3);
    rig.start();
    fs::write(rig.path("app.log"), "").unwrap();
    rig.check(3, &[(Rotation::Truncate, 1)]);
    rig.write("app.log", 1);
    rig.check(4, &[(Rotation::Truncate, 1)]);
    // Rewritten to more than before: nothing tells what was written in between.
    let lines = rig.lines(9);
    fs::write(rig.path("app.log"), lines).unwrap();
    rig.check_after(LONG, 13, &[(Rotation::Truncate, 1), (Rotation::TruncateUnsure, 1)], 0);
}

#[test]
fn a_writer_that_does_not_append_leaves_a_hole() {
    let mut rig = Rig::new("app.log");
    rig.start();
    let lines = rig.lines(3);
    let mut writer = fs::File::create(rig.path("app.log")).unwrap();
    writer.write_all(lines.as_bytes()).unwrap();
    rig.check(3, &[]);
    rustix::fs::seek(&writer, rustix::fs::SeekFrom::Start(8 << 30)).unwrap();
    fs::File::options().write(true).open(rig.path("app.log")).unwrap().set_len(0).unwrap();
    let lines = rig.lines(2);
    writer.write_all(lines.as_bytes()).unwrap();
    let before = rig.tally().read_bytes;
    assert!(before < 10_000, "a hole is not read: {before}");
    rig.check_after(LONG, 5, &[(Rotation::TruncateUnsure, 1)], 0);
}

#[test]
fn a_link_passes_over_numbers() {
    let mut rig = Rig::new("current");
    rig.write("1.log", 2);
    std::os::unix::fs::symlink("1.log", rig.path("current")).unwrap();
    rig.start();
    rig.write("1.log", 1);
    for name in ["2.log", "3.log", "4.log"] {
        rig.write(name, 1);
    }
    std::os::unix::fs::symlink("4.log", rig.path("next")).unwrap();
    rig.rename("next", "current");
    rig.check_after(LONG, 6, &[(Rotation::Symlink, 1)], 0);
}

#[test]
fn a_link_passes_over_more_numbers_than_one_life_looks_into() {
    let mut rig = Rig::new("current");
    rig.write("1.log", 1);
    std::os::unix::fs::symlink("1.log", rig.path("current")).unwrap();
    rig.start();
    // Written to last long before the clock that the test moves.
    fs::File::open(rig.path("1.log")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    rig.kill();
    for number in 2..=200 {
        rig.write(&format!("{number}.log"), 1);
    }
    std::os::unix::fs::symlink("200.log", rig.path("next")).unwrap();
    rig.rename("next", "current");
    for _ in 0..5 {
        rig.start();
    }
    rig.check_after(LONG, 200, &[(Rotation::Symlink, 1)], 0);
    // What comes to stand there later is no generation, after a restart either.
    fs::remove_file(rig.path("2.log")).unwrap();
    rig.write("2.log", 7);
    rig.start();
    rig.check_after(LONG, 200, &[(Rotation::Symlink, 1)], 0);
}

#[test]
fn deletion_and_replacement() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 2);
    rig.start();
    rig.write("app.log", 1);
    fs::remove_file(rig.path("app.log")).unwrap();
    rig.check(3, &[(Rotation::Delete, 1)]);
    rig.write("app.log", 1);
    rig.check(4, &[(Rotation::Delete, 1)]);
    rig.write("other", 2);
    rig.rename("other", "app.log");
    rig.check_after(LONG, 6, &[(Rotation::Delete, 1), (Rotation::Replace, 1)], 0);
}

#[test]
fn compressed_while_stopped() {
    for ending in ["1.gz", "1.zst"] {
        let mut rig = Rig::new("app.log");
        rig.write("app.log", 2);
        rig.start();
        rig.kill();
        rig.write("app.log", 2);
        let packed = rig.path(&format!("app.log.{ending}"));
        if ending == "1.gz" {
            gzip(&rig.path("app.log"), &packed);
        } else {
            fs::write(&packed, zstd::encode_all(fs::read(rig.path("app.log")).unwrap().as_slice(), 1).unwrap())
                .unwrap();
            fs::remove_file(rig.path("app.log")).unwrap();
        }
        rig.write("app.log", 1);
        rig.start();
        rig.check_after(LONG, 5, &[(Rotation::Compressed, 1)], 0);
    }
}

#[test]
fn compressed_while_running_is_not_counted_again() {
    for pattern in ["app.log", "app.log*"] {
        let mut rig = Rig::new(pattern);
        rig.write("app.log", 4);
        rig.start();
        rig.rename("app.log", "app.log.1");
        rig.write("app.log", 1);
        rig.check_after(LONG, 5, &[(Rotation::Rename, 1)], 0);
        rig.rename("app.log", "app.log.0");
        gzip(&rig.path("app.log.1"), &rig.path("app.log.2.gz"));
        rig.write("app.log", 1);
        rig.pass(LONG);
        assert_eq!(rig.errors(), 6);
    }
}

#[test]
fn an_archive_that_is_not_whole_is_tried_again() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 200);
    rig.start();
    rig.kill();
    rig.write("app.log", 200);
    gzip(&rig.path("app.log"), &rig.path("app.log.1.gz"));
    let whole = fs::read(rig.path("app.log.1.gz")).unwrap();
    fs::write(rig.path("app.log.1.gz"), &whole[..whole.len() / 2]).unwrap();
    rig.start();
    rig.pass(LONG);
    assert_eq!(rig.errors(), 200);
    fs::write(rig.path("app.log.1.gz"), &whole).unwrap();
    rig.pass(LONG);
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (400, 0));
}

#[test]
fn whole_generations_that_came_and_went_while_stopped() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 50);
    rig.start();
    rig.kill();
    rig.write("app.log", 1);
    rig.rename("app.log", "app.log.2");
    gzip(&rig.path("app.log.2"), &rig.path("app.log.3.gz"));
    rig.write("app.log", 30);
    rig.rename("app.log", "app.log.2");
    rig.write("app.log", 20);
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", 1);
    rig.start();
    rig.check_after(LONG, 102, &[(Rotation::Compressed, 1)], 0);
    rig.kill();
    rig.start();
    rig.check_after(LONG, 102, &[(Rotation::Compressed, 1)], 0);
}

#[test]
fn a_process_that_is_killed_after_each_look_comes_to_an_end_of_many_generations() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 1);
    rig.start();
    rig.kill();
    for number in 1..=200 {
        rig.rename("app.log", &format!("app.log-{number:03}"));
        rig.write("app.log", 1);
    }
    // Each start looks once, at 64 generations.
    for _ in 0..4 {
        rig.start();
        rig.kill();
    }
    rig.start();
    rig.check(201, &[(Rotation::Rename, 1)]);
}

#[test]
fn a_rotated_file_that_was_quiet_for_long_is_left_at_once_after_a_restart() {
    let mut rig = Rig::new("app.log");
    // The clock of files: what is written to them now is new.
    rig.clock.by(Timestamp::now().duration_since(rig.clock.wall().timestamp()).unsigned_abs());
    rig.write("app.log", 2);
    rig.start();
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", 1);
    rig.check(3, &[(Rotation::Rename, 1)]);
    let places = |rig: &Rig| rig.follower.as_ref().unwrap().checkpoints().into_iter().map(|of| of.place).collect();
    rig.start();
    let young: Vec<Place> = places(&rig);
    assert!(young.contains(&Place::Rotated), "{young:?}");
    let old = fs::File::options().append(true).open(rig.path("app.log.1")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
    rig.start();
    let left: Vec<Place> = places(&rig);
    assert!(!left.contains(&Place::Rotated) && left.contains(&Place::Finished), "{left:?}");
    // Whoever goes on in it all the same is read all the same.
    rig.write("app.log.1", 1);
    rig.check_after(LONG, 4, &[(Rotation::Rename, 1)], 0);
}

#[test]
fn many_archives_are_unpacked_one_budget_after_the_other() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 1);
    rig.start();
    rig.kill();
    // Archives of 9 MiB each: more than one look unpacks.
    let filler = "INFO nothing happened in the whole of this quiet hour of the night\n".repeat(140_000);
    for number in 1..=3 {
        append(&rig.path("app.log"), &filler);
        rig.write("app.log", 1);
        gzip(&rig.path("app.log"), &rig.path(&format!("app.log-{number}.gz")));
        rig.write("app.log", 1);
    }
    for seen in 1..=3 {
        rig.start();
        let counted = rig.follower.as_ref().unwrap().published().tally.sources["app"].read_bytes;
        assert!(counted / filler.len() as u64 == seen, "{counted} after {seen} looks");
        rig.kill();
    }
    rig.start();
    rig.pass(LONG);
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (7, 0));
}

#[test]
fn what_waits_for_its_turn_among_many_archives_is_not_given_up() {
    let mut rig = Rig::new("*.log");
    let names = ["a", "b", "c", "d"];
    names.iter().for_each(|name| rig.write(&format!("{name}.log"), 1));
    rig.start();
    rig.kill();
    // 9 MiB each: a look unpacks one.
    let filler = "INFO nothing happened in the whole of this quiet hour of the night\n".repeat(140_000);
    for name in names {
        let log = rig.path(&format!("{name}.log"));
        append(&log, &filler);
        rig.write(&format!("{name}.log"), 1);
        gzip(&log, &rig.path(&format!("{name}.log-1.gz")));
    }
    rig.start();
    // On a slow machine each look takes long.
    for _ in 0..names.len() {
        rig.clock.by(Duration::from_secs(6));
        rig.wake();
    }
    rig.pass(LONG);
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (8, 0));
}

#[test]
fn without_any_event_the_passes_find_everything() {
    let mut rig = Rig::new("*.log");
    rig.start();
    let mut expected = 0;
    for round in 1..=5 {
        for number in 0..20 {
            rig.write(&format!("{number}.log"), round);
            expected += round;
        }
        if round == 3 {
            rig.rename("0.log", "0.log.1");
        }
        rig.passes(Duration::from_secs(2));
        let shown: u64 = rig.follower.as_ref().unwrap().published().tally.sources["app"]
            .errors
            .values()
            .map(|errors| errors.total)
            .sum();
        assert_eq!(shown, expected, "round {round}");
    }
}

#[test]
fn after_an_overflow_of_events_one_look_finds_everything() {
    let mut rig = Rig::new("*.log");
    for number in 0..300 {
        rig.write(&format!("{number}.log"), 1);
    }
    rig.start();
    for number in 0..600 {
        rig.write(&format!("{number}.log"), 1);
    }
    rig.rename("7.log", "7.log.1");
    rig.write("7.log", 1);
    rig.clock.by(Duration::from_secs(1));
    rig.wake();
    let errors = &rig.follower.as_ref().unwrap().published().tally.sources["app"].errors;
    assert_eq!(errors.values().map(|errors| errors.total).sum::<u64>(), 901);
}

#[test]
fn a_stream_is_read_in_another_way_after_a_reload() {
    let mut rig = Rig::with("unused", |plan| plan.sources[0].input = Input::Stdin);
    rig.start();
    let generic = b"ERROR request failed with error code 20104\n";
    let feed = |rig: &mut Rig| {
        let follower = rig.follower.as_mut().unwrap();
        let stream = follower.stdin().unwrap();
        follower.feed(stream, generic, End::More).unwrap();
        follower.feed(stream, b"INFO next\n", End::More).unwrap();
        rig.clock.by(Duration::from_millis(2));
        rig.errors()
    };
    let mut counts = Vec::new();
    for assume in [Assume::Nothing, Assume::Twilio, Assume::Nothing] {
        rig.plan.sources[0].reading.assume = assume;
        let (plan, detector) = (rig.plan.clone(), rig.detector.clone());
        rig.follower.as_mut().unwrap().follow(plan, &detector);
        counts.push(feed(&mut rig));
    }
    assert_eq!(counts, [0, 1, 1]);
}

#[test]
fn siblings_of_the_first_sight_are_never_read() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log.1", 5);
    rig.write("app.log.2", 5);
    gzip(&rig.path("app.log.2"), &rig.path("app.log.2.gz"));
    rig.write("app.log", 1);
    rig.start();
    rig.check(1, &[]);
    rig.rename("app.log.1", "app.log.2");
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", 1);
    rig.check_after(LONG, 2, &[(Rotation::Rename, 1)], 0);
}

#[test]
fn what_is_destroyed_unread_is_counted() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 2);
    rig.start();
    rig.kill();
    fs::remove_file(rig.path("app.log")).unwrap();
    rig.start();
    rig.check_after(LONG, 2, &[(Rotation::DeleteUnread, 1)], 0);
    rig.write("app.log", 2);
    append(&rig.path("app.log"), "half");
    rig.check(4, &[(Rotation::DeleteUnread, 1)]);
    fs::remove_file(rig.path("app.log")).unwrap();
    let before = rig.tally().read_bytes;
    rig.check_after(LONG, 4, &[(Rotation::DeleteUnread, 1), (Rotation::Delete, 1)], 0);
    assert_eq!(rig.tally().read_bytes, before + 4, "nothing more will be written: half a line is complete as it is");
}

#[test]
fn an_inode_that_serves_another_file() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 3);
    rig.start();
    rig.kill();
    // The same inode, other content, longer than before: what a file system does that reuses inodes at once.
    let lines = rig.lines(8);
    fs::write(rig.path("app.log"), lines).unwrap();
    rig.start();
    rig.check_after(LONG, 11, &[(Rotation::TruncateUnsure, 1)], 0);
}

#[test]
fn date_named_files_under_a_glob() {
    let mut rig = Rig::new("app-*.log");
    rig.start();
    for day in 20..25 {
        rig.write(&format!("app-202611{day}.log"), 3);
        rig.pass(LONG);
        if day > 21 {
            let old = rig.path(&format!("app-202611{}.log", day - 2));
            gzip(&old, &old.with_extension("log.gz"));
        }
    }
    rig.pass(LONG);
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (15, 0));
}

#[test]
fn a_directory_that_vanishes_and_returns() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 2);
    rig.start();
    fs::rename(rig.directory.path().join("logs"), rig.directory.path().join("away")).unwrap();
    rig.pass(LONG);
    assert_eq!(rig.errors(), 2);
    fs::rename(rig.directory.path().join("away"), rig.directory.path().join("logs")).unwrap();
    rig.write("app.log", 1);
    rig.pass(LONG);
    assert_eq!(rig.errors(), 3);
}

#[test]
fn more_files_than_descriptors() {
    let mut rig = Rig::with("*.log", |plan| plan.descriptors = 3);
    for number in 0..40 {
        rig.write(&format!("{number}.log"), 1);
    }
    rig.start();
    rig.pass(LONG);
    for number in 0..40 {
        rig.write(&format!("{number}.log"), 2);
    }
    rig.check_after(LONG, 120, &[], 0);
    fs::remove_file(rig.path("0.log")).unwrap();
    rig.pass(LONG);
    assert_eq!(rig.errors(), 120);
}

#[test]
fn ten_thousand_files() {
    let mut rig = Rig::with("*.log", |plan| plan.descriptors = 500);
    for number in 0..10_000 {
        rig.write(&format!("{number}.log"), 1);
    }
    rig.start();
    rig.check(10_000, &[]);
    for number in (0..10_000).step_by(7) {
        rig.write(&format!("{number}.log"), 1);
    }
    // No event said so: the passes over all of them take five seconds.
    rig.pass(Duration::from_secs(6));
    assert_eq!((rig.errors(), rig.tally().lost_bytes), (11_429, 0));
}

#[test]
fn a_late_series_is_shown_at_zero_once() {
    let mut rig = Rig::new("app.log");
    rig.start();
    append(&rig.path("app.log"), "Twilio error: https://www.twilio.com/docs/errors/64999\n");
    assert_eq!(rig.errors(), 0);
    rig.clock.by(Duration::from_secs(1));
    assert_eq!(rig.errors(), 1);
    rig.kill();
    rig.start();
    assert_eq!(rig.errors(), 1);
    append(&rig.path("app.log"), "Twilio error: https://www.twilio.com/docs/errors/64998\n");
    rig.check_after(Duration::from_secs(61), 2, &[], 0);
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let mut rig = Rig::new("app.log");
    rig.write("app.log", 2);
    rig.start();
    rig.pass(LONG);
    let writes = rig.scrape().state.writes;
    rig.pass(Duration::from_secs(600));
    assert_eq!(rig.scrape().state.writes, writes);
}

#[test]
fn scrapes_show_what_survives_a_kill() {
    let mut rig = Rig::new("app.log");
    rig.start();
    for count in 1..20 {
        rig.write("app.log", 1);
        assert_eq!(rig.errors(), count);
        rig.kill();
        rig.start();
        assert_eq!(rig.errors(), count);
        rig.clock.by(Duration::from_millis(7));
    }
}
