//! Whether a URI may be one of a template's (RFC 6570). Each expression stands for any text; one without an operator for a
//! text without a slash. That takes in a few URIs too many and leaves out none.

/// A piece of a template.
enum Piece<'t> {
    Literal(&'t str),
    /// `{name}`
    Segment,
    /// `{+name}`, `{?name}` and the other operators
    Any,
}

/// Whether the template could have made this URI.
pub fn fits_template(template: &str, uri: &str) -> bool {
    let Some(pieces) = pieces(template) else { return false };
    // The places in the URI to which the pieces so far can reach.
    let mut reached = vec![0_usize];
    for piece in pieces {
        reached = reached.into_iter().flat_map(|at| ends(&piece, uri, at)).collect();
        reached.sort_unstable();
        reached.dedup();
    }
    reached.contains(&uri.len())
}

fn pieces(template: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (expression, after) = after.split_once('}')?;
        pieces.push(Piece::Literal(literal));
        pieces.push(
            match expression.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') {
                true => Piece::Segment,
                false => Piece::Any,
            },
        );
        rest = after;
    }
    pieces.push(Piece::Literal(rest));
    Some(pieces)
}

/// Where a piece that begins at `at` may end.
fn ends(piece: &Piece<'_>, uri: &str, at: usize) -> Vec<usize> {
    let Some(rest) = uri.get(at..) else { return Vec::new() };
    let longest = match piece {
        Piece::Literal(literal) => {
            return rest.starts_with(literal).then(|| at + literal.len()).into_iter().collect();
        }
        Piece::Segment => rest.find('/').unwrap_or(rest.len()),
        Piece::Any => rest.len(),
    };
    (at..=at + longest).filter(|end| uri.is_char_boundary(*end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_a_template_fit_it() {
        for (template, uri, fits) in [
            ("test://template/{id}/data", "test://template/1/data", true),
            ("test://template/{id}/data", "test://template/1/2/data", false),
            ("test://template/{id}/data", "test://template/1/datas", false),
            ("file:///{+path}", "file:///a/b/c.txt", true),
            ("notes://{a}{b}-{c}", "notes://x-y-z", true),
            ("search://all{?q,page}", "search://all?q=1&page=2", true),
            ("search://all{?q,page}", "search://all", true),
            ("plain://x", "plain://x", true),
            ("plain://x", "plain://y", false),
            ("broken://{x", "broken://1", false),
            ("ü://{name}", "ü://ä", true),
        ] {
            assert_eq!(fits_template(template, uri), fits, "{template} {uri}");
        }
    }
}
