//! The instance types that are asked for, and which of them can run the template's image.
//!
//! All listed types are of arm64. With an image for x86_64 in the template its own type works and every other fails with an
//! error that looks like any wrong setting: so they are compared beforehand, those that do not fit are left out, and it is
//! said which and why. A type that the region does not have is left out too.

use crate::{
    api::{Template, TypeInfo},
    walk::Kind,
};

/// What is asked for after the template's own type, in this order.
pub(crate) const LISTED: [&str; 4] = ["t4g.micro", "t4g.small", "c8gd.medium", "c7g.medium"];
/// What EC2 launches when neither template nor request names a type.
const UNNAMED: &str = "m1.small";

/// Types to ask for, and what is to be said about the others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Kinds {
    pub(crate) kinds: Vec<Kind>,
    /// One line for each that was left out.
    pub(crate) left_out: Vec<String>,
}

/// The type that an instance of the template has when none is asked for.
pub(crate) fn own(template: &Template) -> &str {
    template.kind.as_deref().unwrap_or(UNNAMED)
}

/// All of them: nothing is known of template or image.
pub(crate) fn all() -> Vec<Kind> {
    let names = std::iter::once(None).chain(LISTED.map(Some));
    names.map(|name| Kind { name, vcpus: name.map_or(u32::MAX, vcpus) }).collect()
}

/// Those that can run an image of this architecture, by what the region has.
pub(crate) fn fit(template: &Template, architecture: &str, offered: &[TypeInfo]) -> Kinds {
    let mut fitting = Kinds { kinds: Vec::new(), left_out: Vec::new() };
    for kind in all() {
        let name = kind.name.unwrap_or_else(|| own(template));
        let what = match kind.name {
            Some(name) => name.to_owned(),
            None if template.kind.is_none() => {
                format!("{name}, which EC2 takes since the template names no type,")
            }
            None => format!("the template's own type {name}"),
        };
        match offered.iter().find(|info| info.name == name) {
            None => fitting.left_out.push(format!("{what} is not offered in this region")),
            Some(info) if !info.architectures.iter().any(|it| it == architecture) => {
                fitting.left_out.push(format!(
                    "{what} is of {} and the image is for {architecture}",
                    info.architectures.join(", ")
                ));
            }
            Some(info) => fitting.kinds.push(Kind { vcpus: info.vcpus, ..kind }),
        }
    }
    fitting
}

/// vCPUs of the listed types, while EC2 has not been asked.
fn vcpus(name: &str) -> u32 {
    if name.ends_with(".medium") { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::{Kinds, LISTED, all, fit};
    use crate::{
        api::{Template, TypeInfo},
        walk::Kind,
    };

    fn info(name: &str, vcpus: u32, architectures: &[&str]) -> TypeInfo {
        let architectures = architectures.iter().map(|&it| it.to_owned()).collect();
        TypeInfo { name: name.to_owned(), vcpus, architectures }
    }

    /// As DescribeInstanceTypes has them.
    fn region() -> Vec<TypeInfo> {
        vec![
            info("c7g.medium", 1, &["arm64"]),
            info("c7g.xlarge", 4, &["arm64"]),
            info("c8gd.medium", 1, &["arm64"]),
            info("m1.small", 1, &["i386", "x86_64"]),
            info("t3.small", 2, &["x86_64"]),
            info("t4g.micro", 2, &["arm64"]),
            info("t4g.small", 2, &["arm64"]),
        ]
    }

    fn template(kind: Option<&str>) -> Template {
        Template { kind: kind.map(str::to_owned), ..Template::default() }
    }

    fn names(kinds: &[Kind]) -> Vec<&'static str> {
        kinds.iter().map(|kind| kind.name.unwrap_or("own")).collect()
    }

    #[test]
    fn an_image_for_arm64_runs_on_all_in_the_order_of_the_list() {
        let Kinds { kinds, left_out } = fit(&template(Some("c7g.xlarge")), "arm64", &region());
        assert_eq!(names(&kinds), ["own", "t4g.micro", "t4g.small", "c8gd.medium", "c7g.medium"]);
        assert_eq!(kinds.iter().map(|kind| kind.vcpus).collect::<Vec<_>>(), [4, 2, 2, 1, 1]);
        assert_eq!(left_out, [""; 0]);
    }

    #[test]
    fn an_image_for_x86_64_leaves_the_templates_own_type_alone() {
        let Kinds { kinds, left_out } = fit(&template(Some("t3.small")), "x86_64", &region());
        assert_eq!(names(&kinds), ["own"]);
        assert_eq!(left_out.len(), 4);
        assert_eq!(left_out[0], "t4g.micro is of arm64 and the image is for x86_64");
    }

    #[test]
    fn a_template_at_odds_with_its_own_image_is_left_to_the_others() {
        let Kinds { kinds, left_out } = fit(&template(Some("t3.small")), "arm64", &region());
        assert_eq!(names(&kinds), LISTED);
        let expected = "the template's own type t3.small is of x86_64 and the image is for arm64";
        assert_eq!(left_out, [expected]);
        let Kinds { left_out, .. } = fit(&template(None), "arm64", &region());
        assert!(left_out[0].starts_with("m1.small, which EC2 takes since"), "{left_out:?}");
    }

    #[test]
    fn a_type_that_the_region_does_not_have_is_left_out() {
        let region: Vec<_> =
            region().into_iter().filter(|info| info.name != "c8gd.medium").collect();
        let Kinds { kinds, left_out } = fit(&template(Some("t4g.small")), "arm64", &region);
        assert_eq!(names(&kinds), ["own", "t4g.micro", "t4g.small", "c7g.medium"]);
        assert_eq!(left_out, ["c8gd.medium is not offered in this region"]);
    }

    #[test]
    fn what_is_known_without_asking_is_what_ec2_says() {
        for kind in all() {
            let Some(name) = kind.name else { continue };
            let info = region().into_iter().find(|info| info.name == name).unwrap();
            assert_eq!(kind.vcpus, info.vcpus, "{name}");
        }
    }
}
