# Small-sample inference of models of other cases: Kenward-Roger (pbkrtest), F tests of the formula's terms
# (lmerTest), cluster-robust errors (clubSandwich), inner and outer degrees of freedom (nlme).
# Every case's data and factors are read from its own expected.json.
source("../peers.R")

case_of <- function(name) {
  here <- setwd(file.path("..", name))
  on.exit(setwd(here))
  about <- read_json("expected.json", simplifyVector = TRUE)
  frame <- case_data(
    about$data$package, about$data$dataset, groups = about$data$groups, levels = as.list(about$data$levels),
    derive = list()
  )$frame
  list(frame = frame, models = about$models)
}

columns_of_terms <- function(fit) {
  X <- getME(fit, "X")
  assign <- attr(model.matrix(fit), "assign")
  labels <- attr(terms(fit), "term.labels")
  lapply(setNames(seq_along(labels), labels), function(term) which(assign == term))
}

f_tests <- function(fit, ddf) {
  p <- length(fixef(fit))
  sets <- c(columns_of_terms(fit), list(`(all)` = seq_len(p)))
  rows <- lapply(names(sets), function(term) {
    test <- suppressMessages(contest(fit, diag(p)[sets[[term]], , drop = FALSE], joint = TRUE, ddf = ddf))
    data.frame(
      term = term, columns = paste(names(fixef(fit))[sets[[term]]], collapse = "; "), statistic = test[["F value"]],
      df_num = test$NumDF, df_den = test$DenDF, p_value = test[["Pr(>F)"]]
    )
  })
  do.call(rbind, rows)
}

robust <- function(fit) {
  lapply(c(CR0 = "CR0", CR1 = "CR1", CR2 = "CR2", CR3 = "CR3"), function(kind) {
    vcov <- clubSandwich::vcovCR(fit, type = kind)
    test <- clubSandwich::coef_test(fit, vcov = vcov, test = "Satterthwaite")
    list(df = test$df, vcov = unname(as.matrix(vcov)))
  })
}

small_sample <- function(case, model, clustered = TRUE, lme = NULL) {
  about <- case_of(case)
  said <- about$models[[model]]
  fit <- best_fit(said$formula, about$frame, TRUE)
  answer <- list(
    case = case, model = model, names = names(fixef(fit)),
    kenward_roger = list(
      vcov = unname(as.matrix(vcovAdj(fit))), df = kenward_roger(fit)$df, tests = f_tests(fit, "Kenward-Roger")
    ),
    satterthwaite = list(tests = f_tests(fit, "Satterthwaite"))
  )
  if (clustered) answer$robust <- robust(fit)
  if (!is.null(lme)) {
    fixed <- nlme::lme(lme[[1]], random = lme[[2]], data = about$frame, control = nlme::lmeControl(returnObject = TRUE))
    answer$lme_df <- as.list(fixed$fixDF$X)
  }
  answer
}

write_json(list(
  source = paste("make.R in this folder, run with", R.version.string),
  versions = lapply(c(lme4 = "lme4", lmerTest = "lmerTest", pbkrtest = "pbkrtest", nlme = "nlme", clubSandwich = "clubSandwich"), function(p) as.character(packageVersion(p))),
  small_sample = list(
    small_sample("assay", "three", clustered = FALSE),
    small_sample("bodyweight", "slopes", lme = list(weight ~ Time * Diet, ~ Time | Rat)),
    small_sample("bodyweight", "independent", clustered = FALSE),
    small_sample("cake", "nested", clustered = FALSE),
    small_sample("crossed", "slopes", clustered = FALSE),
    small_sample("crossed", "independent", clustered = FALSE),
    small_sample("crossed_singular", "intercepts", clustered = FALSE),
    small_sample("dietox", "copper"),
    small_sample("dyestuff", "reml"),
    small_sample("dyestuff2", "reml"),
    small_sample("ergostool", "blocks"),
    small_sample("machines", "intercepts"),
    small_sample("machines", "slopes"),
    small_sample("machines", "nested", lme = list(score ~ Machine, ~ 1 | Worker / Machine)),
    small_sample("oats", "varieties", lme = list(yield ~ nitro * Variety, ~ 1 | Block / Variety)),
    small_sample("orthodont", "sex", lme = list(distance ~ age * Sex, ~ age | Subject)),
    small_sample("orthodont", "sex_intercepts"),
    small_sample("oxide", "sources", lme = list(Thickness ~ Source, ~ 1 | Lot / Wafer)),
    small_sample("pastes", "nested"),
    small_sample("penicillin", "crossed", clustered = FALSE),
    small_sample("pixel", "slopes", clustered = FALSE),
    small_sample("pixel", "intercepts", lme = list(pixel ~ day + I(day^2), ~ 1 | Dog / Side)),
    small_sample("sleepstudy", "reml", lme = list(Reaction ~ Days, ~ Days | Subject)),
    small_sample("sleepstudy", "independent", clustered = FALSE),
    small_sample("sleepstudy", "quadratic"),
    small_sample("three_groups", "paired"),
    small_sample("tiny", "reml"),
    small_sample("unbalanced", "slopes")
  )
), "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null", na = "null", dataframe = "columns")
writeLines(capture.output(sessionInfo()), "session.txt")
