# Rubin's rules and the tests of several parameters, on imputations that are stored beside the numbers: the first
# 15 schools of `studentratings` (mitml), imputed by pan. Run in this folder:  Rscript make.R
suppressPackageStartupMessages({library(mitml); library(mice); library(lme4); library(jsonlite)})
data(studentratings)
kept <- c("ID", "ReadAchiev", "ReadDis", "CognAbility", "SES")
set <- subset(studentratings, ID %in% sort(unique(ID))[1:15])[, kept]
imputed <- panImpute(set, formula = ReadDis + SES + CognAbility ~ ReadAchiev + (1 | ID),
  n.burn = 2000, n.iter = 200, m = 6, seed = 20231, silent = TRUE)
sets <- lapply(mitmlComplete(imputed, "all"), function(one) round(one, 3))
write.csv(cbind(imputation = rep(1:6, each = nrow(set)), do.call(rbind, sets)), "data.csv",
  row.names = FALSE, quote = FALSE)

exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.01, rhoend = 1e-9), calc.derivs = FALSE)
full <- ReadAchiev ~ ReadDis + CognAbility + (1 | ID)
null <- ReadAchiev ~ 1 + (1 | ID)
# mitml evaluates the calls again: they name nothing that is not known everywhere.
fits <- lapply(sets, function(one) lmer(ReadAchiev ~ ReadDis + CognAbility + (1 | ID), one, control = exact))
null_fits <- lapply(sets, function(one) lmer(ReadAchiev ~ 1 + (1 | ID), one, control = exact))
ml_full <- lapply(sets, function(one) lmer(ReadAchiev ~ ReadDis + CognAbility + (1 | ID), one, REML = FALSE, control = exact))
ml_null <- lapply(sets, function(one) lmer(ReadAchiev ~ 1 + (1 | ID), one, REML = FALSE, control = exact))

table_of <- function(tested) {
  e <- tested$estimates
  list(names = rownames(e), estimate = e[, 1], std_error = e[, 2], df = e[, 4], p = e[, 5], riv = e[, 6], fmi = e[, 7])
}
test_of <- function(tested) as.list(setNames(tested$test[1, ], c("F", "df1", "df2", "p", "riv")))
stacked <- do.call(rbind, lapply(1:6, function(i) transform(sets[[i]], ID = paste(i, ID))))
loglik_stacked <- function(formula) as.numeric(logLik(lmer(formula, stacked, REML = FALSE, control = exact)))
by_lm <- lapply(sets, function(one) lm(ReadAchiev ~ ReadDis + CognAbility, one))
pooled_lm <- summary(pool(as.mira(by_lm)))
more_lm <- pool(as.mira(by_lm))$pooled
Q <- 13:17; U <- 3:7
scalar <- function(...) {
  s <- pool.scalar(Q, U, ...)
  list(mean = s$qbar, within = s$ubar, between = s$b, total = s$t, r = s$r, df = s$df, fmi = s$fmi, lambda = (1 + 1 / 5) * s$b / s$t)
}
expected <- list(
  source = paste("R", getRversion(), "mitml", packageVersion("mitml"), "mice", packageVersion("mice"), "lme4", packageVersion("lme4")),
  scalar = list(large = scalar(), small = scalar(n = 30, k = 2)),
  each = list(
    beta = t(sapply(fits, fixef)),
    covariance = lapply(fits, function(f) as.matrix(vcov(f))),
    tau2 = sapply(fits, function(f) VarCorr(f)$ID[1]),
    sigma2 = sapply(fits, sigma)^2,
    full = sapply(ml_full, function(f) as.numeric(logLik(f))),
    null = sapply(ml_null, function(f) as.numeric(logLik(f)))),
  stacked = list(full = loglik_stacked(full), null = loglik_stacked(null)),
  estimates = list(
    large = table_of(testEstimates(fits)),
    df40 = table_of(testEstimates(fits, df.com = 40)),
    extra = testEstimates(fits, extra.pars = TRUE)$extra.pars[, 1]),
  mice_pool = list(term = as.character(pooled_lm$term), estimate = pooled_lm$estimate, std_error = pooled_lm$std.error,
    df = pooled_lm$df, p = pooled_lm$p.value, riv = more_lm$riv, lambda = more_lm$lambda, fmi = more_lm$fmi, dfcom = more_lm$dfcom),
  tests = list(
    D1 = test_of(testModels(fits, null_fits, method = "D1")),
    D1_df40 = test_of(testModels(fits, null_fits, method = "D1", df.com = 40)),
    D3 = test_of(testModels(ml_full, ml_null, method = "D3")),
    D3_lm = test_of(testModels(by_lm, lapply(sets, function(one) lm(ReadAchiev ~ 1, one)), method = "D3")),
    D4_lm = test_of(testModels(by_lm, lapply(sets, function(one) lm(ReadAchiev ~ 1, one)), method = "D4")),
    D4_lm_robust = test_of(testModels(by_lm, lapply(sets, function(one) lm(ReadAchiev ~ 1, one)), method = "D4", ariv = "robust"))),
  lm_log_likelihoods = list(
    full = sapply(by_lm, logLik), null = sapply(sets, function(one) logLik(lm(ReadAchiev ~ 1, one))),
    full_stacked = as.numeric(logLik(lm(ReadAchiev ~ ReadDis + CognAbility, stacked))),
    null_stacked = as.numeric(logLik(lm(ReadAchiev ~ 1, stacked))))
)
# The same statistic with the groups of different imputations kept apart, which mitml's stacking does not do.
d_stacked <- 2 * (expected$stacked$full - expected$stacked$null) / 6
expected$stacked$statistic <- d_stacked
write_json(expected, "expected.json", digits = 12, auto_unbox = TRUE, pretty = TRUE)
writeLines(capture.output(sessionInfo()), "session.txt")
