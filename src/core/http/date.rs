//! The `Date` header (RFC 9110 §5.6.7).

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// `Sun, 06 Nov 1994 08:49:37 GMT`: an instant in milliseconds since the epoch as IMF-fixdate.
/// Years outside 0..=9999 are shown as the nearest of these. It is arithmetic on one stack array
/// (about 10 ns), so a cached copy would save nothing.
pub fn http_date(wall_ms: i64) -> [u8; 29] {
    let seconds = wall_ms.div_euclid(1000).clamp(-62_167_219_200, 253_402_300_799);
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[days.rem_euclid(7) as usize]);
    two(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    two(&mut text[12..14], year / 100);
    two(&mut text[14..16], year % 100);
    two(&mut text[17..19], second_of_day / 3600);
    two(&mut text[20..22], second_of_day / 60 % 60);
    two(&mut text[23..25], second_of_day % 60);
    text
}

fn two(at: &mut [u8], value: i64) {
    at[0] = b'0' + (value / 10) as u8;
    at[1] = b'0' + (value % 10) as u8;
}

/// Year, month 1..=12 and day 1..=31 of a day since 1970-01-01, in the Gregorian calendar. Years
/// are counted from March so that the leap day is the last of its year; an era has 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
