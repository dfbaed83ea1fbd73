//! What lists have in common: filters, order and pages.

use crate::error::ApiError;
use axum::extract::Query;
use axum::http::Uri;
use serde_json::{Value, json};
use std::cmp::Ordering;

const PER_PAGE_DEFAULT: usize = 25;
const PER_PAGE_MAX: usize = 50;

/// The parameters of a request, some of which may come several times.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        query.map(|Query(pairs)| Self(pairs)).map_err(|error| ApiError::invalid("query", error.to_string()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True when the parameter is absent or one of its values is this.
    pub(super) fn admits(&self, name: &str, value: &str) -> bool {
        self.get(name).is_none() || self.all(name).any(|wanted| wanted == value)
    }

    /// Sorts by each `sort=field[:asc|:desc]` in turn. `key` gives the order of two items by a field, or none for an unknown field.
    pub(super) fn sort<T>(
        &self,
        items: &mut [T],
        compare: impl Fn(&str, &T, &T) -> Option<Ordering>,
    ) -> Result<(), ApiError> {
        let orders: Vec<(&str, bool)> = self
            .all("sort")
            .map(|sort| match sort.split_once(':') {
                None => Ok((sort, false)),
                Some((field, "asc")) => Ok((field, false)),
                Some((field, "desc")) => Ok((field, true)),
                Some(_) => Err(ApiError::invalid("sort", "direction must be asc or desc")),
            })
            .collect::<Result<_, _>>()?;
        if let Some(probe) = items.first()
            && orders.iter().any(|(field, _)| compare(field, probe, probe).is_none())
        {
            return Err(ApiError::invalid("sort", "cannot sort by this field"));
        }
        items.sort_by(|left, right| {
            let by_field = |(field, descending): &(&str, bool)| {
                let order = compare(field, left, right).unwrap_or(Ordering::Equal);
                if *descending { order.reverse() } else { order }
            };
            orders.iter().map(by_field).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(())
    }

    /// One page of the items and the `meta` that goes with it.
    pub(super) fn page<T>(&self, items: Vec<T>) -> Result<(Vec<T>, Value), ApiError> {
        let page = self.number("page", 1)?;
        let per_page = self.number("per_page", PER_PAGE_DEFAULT)?.min(PER_PAGE_MAX);
        let total = items.len();
        let last = total.div_ceil(per_page).max(1);
        let skipped = (page - 1).saturating_mul(per_page);
        let meta = json!({"pagination": {
            "page": page,
            "per_page": per_page,
            "previous_page": (page > 1).then(|| page - 1),
            "next_page": (page < last).then(|| page + 1),
            "last_page": last,
            "total_entries": total,
        }});
        Ok((items.into_iter().skip(skipped).take(per_page).collect(), meta))
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| ApiError::invalid(name, "must be a positive integer"))
    }
}
