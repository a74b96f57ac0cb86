# Marginal and conditional R2 by performance, over one and several grouping factors, with varying slopes.
source("../peers.R")

r2 <- function(package, dataset, formula, groups, reml = TRUE, with = identity) {
  data <- case_data(package, dataset, groups = setNames(lapply(groups, function(g) inside()), groups))
  fit <- suppressMessages(lme4::lmer(as.formula(formula), data = with(data$frame), REML = reml, control = tight))
  said <- performance::r2_nakagawa(fit, tolerance = 1e-12)
  list(formula = formula, reml = reml, marginal = unname(said$R2_marginal), conditional = unname(said$R2_conditional))
}
write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("lme4", "performance", "insight"), function(p) as.character(packageVersion(p)))),
    sets = list(
      sleepstudy = r2("lme4", "sleepstudy", "Reaction ~ Days + (Days | Subject)", "Subject"),
      sleepstudy_ml = r2("lme4", "sleepstudy", "Reaction ~ Days + (1 | Subject)", "Subject", FALSE),
      radon = r2("HLMdiag", "radon", "log.radon ~ basement + uranium + (basement | county)", "county"),
      pastes = r2("lme4", "Pastes", "strength ~ 1 + (1 | batch) + (1 | sample)", c("batch", "sample")),
      penicillin = r2("lme4", "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", c("plate", "sample")),
      orthodont = r2("nlme", "Orthodont", "distance ~ age + (age | Subject)", "Subject")
    )
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
