# Examination results of 4,059 pupils in 65 London schools (mlmRev): slopes, within and between, a league.
source("../peers.R")
data <- case_data("mlmRev", "Exam",
  groups = list(school = inside()), levels = list(sex = c("F", "M"), type = c("Mxd", "Sngl")),
  derive = list(
    list(within = "standLRT", group = "school", as = "LRT_within"),
    list(between = "standLRT", group = "school", as = "LRT_between")
  )
)
fit <- function(formula, ...) peer(data, formula, ...)
models <- list(
  intercepts_ml = fit("normexam ~ standLRT + (1 | school)", reml = FALSE, profile = TRUE),
  intercepts_reml = fit("normexam ~ standLRT + (1 | school)"),
  slopes_ml = fit("normexam ~ standLRT + (standLRT | school)", reml = FALSE),
  slopes_reml = fit("normexam ~ standLRT + (standLRT | school)"),
  within_between = fit("normexam ~ LRT_within + LRT_between + (LRT_within | school)"),
  case_mix = fit("normexam ~ standLRT + sex + type + (standLRT | school)")
)
rows <- models$intercepts_ml$groups
league <- rows$label[order(-rows$effect)]
save_case(data, models, league = list(intercepts_ml = list(top = head(league, 3), bottom = rev(tail(league, 3)))))
