# Contextual effects (between minus within) by contest of lmerTest: Satterthwaite and Kenward-Roger, with one
# grouping factor and with two crossed ones.
source("../peers.R")

contest_of <- function(package, dataset, group, source, formula, contrast, extra = list()) {
  groups <- c(setNames(list(inside()), group), extra)
  data <- case_data(package, dataset, groups = groups, derive = list(
    list(within = source, group = group, as = "x_within"), list(between = source, group = group, as = "x_mean")))
  fit <- lmerTest::lmer(as.formula(formula), data = data$frame, control = tight)
  one <- function(ddf) {
    said <- lmerTest::contest1D(fit, contrast, ddf = ddf)
    list(estimate = said$Estimate, std_error = said$`Std. Error`, df = said$df, p = said$`Pr(>|t|)`)
  }
  list(
    package = package, dataset = dataset, formula = formula, group = group, covariate = source,
    extra = as.list(names(extra)), satterthwaite = one("Satterthwaite"), kenward_roger = one("Kenward-Roger")
  )
}

write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("lme4", "lmerTest", "pbkrtest"), function(p) as.character(packageVersion(p)))),
    sets = list(
      crossed = contest_of("mlmRev", "ScotsSec", "primary", "verbal",
        "attain ~ x_within + x_mean + (1 | primary) + (1 | second)", c(0, -1, 1), list(second = inside())),
      slopes = contest_of("mlmRev", "Hsb82", "school", "ses",
        "mAch ~ x_within + x_mean + (x_within | school)", c(0, -1, 1)),
      uncentred = contest_of("mlmRev", "Hsb82", "school", "ses",
        "mAch ~ ses + x_mean + (1 | school)", c(0, 0, 1))
    )
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
