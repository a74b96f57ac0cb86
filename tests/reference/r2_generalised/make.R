# Marginal and conditional R2 of binomial models by performance: successes of trials, varying slopes, crossed factors.
source("../peers.R")
source("../generalised.R")

r2 <- function(case, formula, groups, levels = list(), link = "logit") {
  about <- fromJSON(file.path("..", case, "expected.json"))$data
  data <- case_data(about$package, about$dataset, setNames(lapply(groups, function(g) inside()), groups), levels)
  fit <- glmer(as.formula(formula), data$frame, binomial(link), control = exact(1e-13))
  said <- performance::r2_nakagawa(fit, tolerance = 1e-12)
  list(
    case = case, formula = formula, link = link,
    marginal = unname(said$R2_marginal), conditional = unname(said$R2_conditional)
  )
}
write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("lme4", "performance", "insight"), function(p) as.character(packageVersion(p)))),
    sets = list(
      ohio = r2("ohio", "resp ~ age * smoke + (1 | id)", "id"),
      ohio_slopes = r2("ohio", "resp ~ age + smoke + (0 + smoke | id)", "id"),
      bacteria = r2("bacteria", "y ~ week + trt + (1 | ID)", "ID", list(y = c("n", "y"), trt = c("placebo", "drug", "drug+"))),
      cbpp = r2(
        "cbpp", "cbind(incidence, size - incidence) ~ period + (1 | herd)", "herd",
        list(period = c("1", "2", "3", "4"))
      )
    )
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
