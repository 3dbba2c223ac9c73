//! Streams and files: what goes in comes out, in any size and through any window.

use std::collections::HashSet;
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use smrt::seal::{
    Context, Error, Form, RawKey, Reader, Recipient, Settings, Writer, inspect, open_file,
    open_to_vec, seal_file,
};

use super::{KEY, content, context, key, open, open_under, seal};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_size_about_any_frame_edge_comes_back(
        frame_bytes in prop_oneof![1_u32..200, Just(4096_u32), Just(65_536_u32)],
        frames in 0_usize..6,
        beside in -2_isize..3,
        piece in 1_usize..5000,
    ) {
        let length = (frames * frame_bytes as usize).saturating_add_signed(beside);
        let plain = content(length);
        let settings = Settings { frame_bytes, ..Settings::default() };
        let mut writer =
            Writer::with_settings(Vec::new(), &key(), KEY, &context(), &settings).unwrap();
        for part in plain.chunks(piece) {
            writer.write_all(part).unwrap();
        }
        let sealed = writer.finish().unwrap();
        let info = inspect(&mut &sealed[..]).unwrap();
        let full = (length.max(1) - 1) / frame_bytes as usize;
        prop_assert_eq!(sealed.len(), info.header_bytes + full * 32 + 40 + length);
        prop_assert_eq!(info.plain_bytes(sealed.len() as u64), Some(length as u64));

        let mut reader = Reader::open(&sealed[..], &key()).unwrap();
        let (mut opened, mut window) = (Vec::<u8>::new(), vec![0; piece]);
        loop {
            let read = reader.read(&mut window).unwrap();
            if read == 0 {
                break;
            }
            opened.extend(&window[..read]);
        }
        prop_assert_eq!(opened, plain);
    }

    #[test]
    fn files_and_streams_make_the_same_layout(
        frame_bytes in prop_oneof![1_u32..100, Just(4096_u32)],
        frames in 0_usize..5,
        beside in -1_isize..2,
    ) {
        let length = (frames * frame_bytes as usize).saturating_add_signed(beside);
        let plain = content(length);
        let folder = tempfile::tempdir().unwrap();
        let [source, sealed, opened] = ["a", "b", "c"].map(|name| folder.path().join(name));
        std::fs::write(&source, &plain).unwrap();
        let settings = Settings { frame_bytes, ..Settings::default() };
        let sealed_bytes =
            seal_file(&source, &sealed, &key(), KEY, &context(), &settings).unwrap();
        prop_assert_eq!(sealed_bytes, length as u64);
        let bytes = std::fs::read(&sealed).unwrap();
        prop_assert_eq!(bytes.len(), seal(&plain, frame_bytes).len());
        prop_assert_eq!(&open(&bytes).unwrap(), &plain);
        open_file(&sealed, &opened, &key(), &Context::new()).unwrap();
        prop_assert_eq!(std::fs::read(&opened).unwrap(), plain.clone());
        std::fs::write(&sealed, seal(&plain, frame_bytes)).unwrap();
        open_file(&sealed, &opened, &key(), &Context::new()).unwrap();
        prop_assert_eq!(std::fs::read(&opened).unwrap(), plain);
    }
}

#[test]
fn an_empty_message_and_frames_of_one_mebibyte_come_back() {
    for length in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 9 << 20] {
        let plain = content(length);
        assert!(open(&seal(&plain, 1 << 20)).unwrap() == plain, "{length} bytes");
    }
}

#[test]
fn a_large_file_of_small_frames_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let [sealed, opened] = ["b", "c"].map(|name| folder.path().join(name));
    let plain = content((5 << 20) + 1);
    std::fs::write(&sealed, seal(&plain, 4096)).unwrap();
    open_file(&sealed, &opened, &key(), &Context::new()).unwrap();
    assert!(std::fs::read(&opened).unwrap() == plain);
    std::fs::write(&sealed, [&seal(&plain, 4096)[..], &[0]].concat()).unwrap();
    assert!(open_file(&sealed, &opened, &key(), &Context::new()).is_err());
}

#[test]
fn a_reader_that_gives_one_byte_at_a_time_is_enough() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = into.len().min(1);
            self.0.read(&mut into[..length])
        }
    }
    let plain = content(1000);
    let sealed = seal(&plain, 300);
    let mut opened = Vec::new();
    Reader::open(Drip(&sealed), &key()).unwrap().read_to_end(&mut opened).unwrap();
    assert_eq!(opened, plain);
}

#[test]
fn the_proved_plaintext_can_be_had_without_a_copy() {
    let plain = content(1000);
    let sealed = seal(&plain, 300);
    let mut reader = Reader::open(&sealed[..], &key()).unwrap();
    let mut opened = Vec::new();
    loop {
        let part = reader.fill_buf().unwrap();
        if part.is_empty() {
            break;
        }
        opened.push(part[0]);
        reader.consume(1);
    }
    assert_eq!(opened, plain);
}

#[test]
fn a_message_that_was_not_finished_is_refused() {
    struct Shared(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().write(data)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let settings = Settings { frame_bytes: 100, ..Settings::default() };
    for length in [0, 50, 100, 500] {
        let bytes = std::rc::Rc::default();
        let inner = Shared(std::rc::Rc::clone(&bytes));
        let mut writer = Writer::with_settings(inner, &key(), KEY, &context(), &settings).unwrap();
        writer.write_all(&content(length)).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let error = open(&bytes.borrow()).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn a_failed_write_is_told_once_more_and_never_finished() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(data.len())
                .ok_or(std::io::Error::from(std::io::ErrorKind::StorageFull))?;
            Ok(data.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let settings = Settings { frame_bytes: 100, ..Settings::default() };
    let mut writer = Writer::with_settings(Full(1000), &key(), KEY, &context(), &settings).unwrap();
    let error = writer.write_all(&content(10_000)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(writer.write_all(b"more").is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn required_pairs_are_not_stored_and_must_be_brought() {
    let required = Context::from_pairs([("smrt:account", "1234")]).unwrap();
    let settings = Settings { required: required.clone(), ..Settings::default() };
    let mut writer = Writer::with_settings(Vec::new(), &key(), KEY, &context(), &settings).unwrap();
    writer.write_all(b"weights").unwrap();
    let sealed = writer.finish().unwrap();
    assert_eq!(inspect(&mut &sealed[..]).unwrap().context, context());
    assert_eq!(open_under(&sealed, &key(), &required).unwrap(), b"weights");
    for other in [vec![], vec![("smrt:account", "9999")], vec![("smrt:account", "1234"), ("x", "")]]
    {
        let other = Context::from_pairs(other).unwrap();
        assert!(open_under(&sealed, &key(), &other).is_err(), "{other:?}");
    }
}

#[test]
fn stored_pairs_may_be_asked_for_and_must_then_agree() {
    let sealed = seal(b"weights", 4096);
    let asks = |job: &str| Context::from_pairs([("smrt:job", job)]).unwrap();
    assert!(open_under(&sealed, &key(), &asks("churn")).is_ok());
    let error = open_under(&sealed, &key(), &asks("fraud")).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[test]
fn a_second_key_opens_the_same_message() {
    let escrow = RawKey::new("escrow", "safe", [9; 32]).unwrap();
    let also = vec![Recipient { keys: &escrow, key: "safe".into() }];
    let settings = Settings { also, ..Settings::default() };
    let mut writer = Writer::with_settings(Vec::new(), &key(), KEY, &context(), &settings).unwrap();
    writer.write_all(b"weights").unwrap();
    let sealed = writer.finish().unwrap();
    for keys in [&key(), &escrow] {
        assert_eq!(open_under(&sealed, keys, &Context::new()).unwrap(), b"weights");
    }
    let info = inspect(&mut &sealed[..]).unwrap();
    assert_eq!(
        info.holders(),
        [
            format!("who holds the smrt key {KEY}"),
            "who holds the raw key safe of \"escrow\"".into()
        ]
    );
    let stranger = RawKey::new("escrow", "other", [9; 32]).unwrap();
    let error = open_under(&sealed, &stranger, &Context::new()).unwrap_err();
    assert!(error.to_string().contains("it opens with"), "{error}");
}

#[test]
fn a_buffer_is_bounded() {
    let sealed = seal(&content(1000), 300);
    let open = |bytes_max| open_to_vec(&sealed[..], &key(), &Context::new(), bytes_max);
    assert_eq!(open(1000).unwrap(), content(1000));
    assert!(matches!(open(999).unwrap_err(), Error::TooLarge { bytes_max: 999, .. }));
}

#[test]
fn threat_39_message_ids_are_never_drawn_twice() {
    let ids: HashSet<[u8; 32]> =
        (0..10_000).map(|_| inspect(&mut &seal(b"", 4096)[..]).unwrap().message_id).collect();
    assert_eq!(ids.len(), 10_000);
}

#[test]
fn a_nonce_is_never_used_twice_in_a_message() {
    let sealed = seal(&content(1000), 10);
    let mut at = inspect(&mut &sealed[..]).unwrap().header_bytes;
    let mut seen = HashSet::from([[0; 12]]);
    while sealed[at..at + 4] != [0xff; 4] {
        assert!(seen.insert(sealed[at + 4..at + 16].try_into().unwrap()));
        at += 10 + 32;
    }
    assert!(seen.insert(sealed[at + 8..at + 20].try_into().unwrap()));
    assert_eq!(seen.len(), 101);
}

#[test]
fn threat_01_a_sealed_file_shows_nothing_of_its_content() {
    let canary = b"canary-canary-canary";
    let sealed = seal(&canary.repeat(1000), 4096);
    assert!(!sealed.windows(canary.len()).any(|window| window == canary));
    assert_eq!(Form::detect(&sealed).unwrap(), Form::Sealed);
}

#[test]
fn a_sealed_and_an_opened_file_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let [source, sealed, opened] = ["a", "b", "c"].map(|name| folder.path().join(name));
    std::fs::write(&source, b"weights").unwrap();
    seal_file(&source, &sealed, &key(), KEY, &context(), &Settings::default()).unwrap();
    open_file(&sealed, &opened, &key(), &Context::new()).unwrap();
    for path in [&sealed, &opened] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read(opened).unwrap(), b"weights");
}

#[test]
fn nothing_remains_of_a_file_that_could_not_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let [sealed, opened] = ["b", "c"].map(|name| folder.path().join(name));
    let whole = seal(&content(1000), 100);
    let mut changed = whole.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let longer = [&whole[..], &[0]].concat();
    std::fs::write(&opened, b"what was here").unwrap();
    for (why, bytes) in
        [("changed", &changed[..]), ("cut", &whole[..last]), ("longer", &longer), ("empty", &[])]
    {
        std::fs::write(&sealed, bytes).unwrap();
        assert!(open_file(&sealed, &opened, &key(), &Context::new()).is_err(), "{why}");
        assert_eq!(std::fs::read(&opened).unwrap(), b"what was here", "{why}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "{why}");
    }
}

#[test]
fn a_missing_source_and_a_missing_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let [source, far] = ["a", "no/b"].map(|name| folder.path().join(name));
    let seal = || seal_file(&source, &far, &key(), KEY, &context(), &Settings::default());
    assert!(seal().unwrap_err().to_string().starts_with(source.to_str().unwrap()));
    std::fs::write(&source, b"x").unwrap();
    assert!(seal().unwrap_err().to_string().starts_with(far.to_str().unwrap()));
}

#[test]
fn a_pipe_can_be_sealed_as_a_file_can() {
    let folder = tempfile::tempdir().unwrap();
    let [pipe, sealed] = ["pipe", "b"].map(|name| folder.path().join(name));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no mkfifo here");
        return;
    }
    let plain = content(300_000);
    let bytes = std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&pipe, &plain).unwrap());
        seal_file(&pipe, &sealed, &key(), KEY, &context(), &Settings::default()).unwrap()
    });
    assert_eq!(bytes, 300_000);
    assert_eq!(open(&std::fs::read(&sealed).unwrap()).unwrap(), plain);
}
