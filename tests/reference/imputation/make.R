# Multilevel multiple imputation by mice, mitml/pan: pooled estimates, standard errors, between-imputation variances.
# Data: mitml::studentratings and mice::brandsma (GPL-2 | GPL-3), the first 60 schools with more gaps made at random
# given other variables. Run in this folder: Rscript make.R; takes some minutes.
suppressMessages({library(mice); library(mitml); library(lme4); library(jsonlite)})
options(warn = -1)

pooled <- function(fits) {
  Q <- sapply(fits, fixef); U <- sapply(fits, function(f) diag(as.matrix(vcov(f))))
  tau <- sapply(fits, function(f) sqrt(unlist(lapply(VarCorr(f), function(v) diag(v)[1]))))
  sigma <- sapply(fits, sigma); m <- ncol(Q)
  B <- apply(Q, 1, var)
  list(m = m, terms = rownames(Q), estimate = rowMeans(Q), within = rowMeans(U), between = B,
       std_error = sqrt(rowMeans(U) + (1 + 1/m) * B), tau = mean(tau), tau_between = var(as.vector(tau)),
       sigma = mean(sigma), sigma_between = var(sigma))
}

fitted_to <- function(sets, formula) lapply(sets, function(d) suppressMessages(lmer(formula, d)))

# --- studentratings: pan, as in mitml's vignette
data(studentratings)
ratings <- studentratings[c("ID", "ReadAchiev", "ReadDis", "SES")]
write.csv(ratings, "ratings.csv", row.names = FALSE, na = "")
log <- capture.output(imp <- panImpute(ratings, formula = ReadDis + SES ~ ReadAchiev + (1 | ID),
                                       n.burn = 5000, n.iter = 100, m = 100, seed = 1))
out <- list(ratings_pan = pooled(fitted_to(mitmlComplete(imp, "all"), ReadAchiev ~ ReadDis + (1 | ID))))

# --- brandsma: 60 schools
set.seed(20)
schools <- unique(brandsma$sch)[1:60]
d <- subset(brandsma, sch %in% schools, c(sch, lpo, iqv, ses, sex, ssi))
d <- d[complete.cases(d[c("iqv", "sex", "lpo", "ses")]), ]
p <- plogis(-1.2 + 0.06 * (d$lpo - 41))
full <- d
d$iqv[runif(nrow(d)) < p] <- NA
d$sex[runif(nrow(d)) < plogis(-1.3 - 0.04 * (full$lpo - 41))] <- NA
d$lpo[runif(nrow(d)) < plogis(-1.6 + 0.05 * full$ses)] <- NA
gone <- sample(schools, 12); d$ssi[d$sch %in% gone] <- NA
write.csv(d, "schools.csv", row.names = FALSE, na = "")

design <- function(method) {
  ini <- mice(d, maxit = 0)
  pred <- ini$predictorMatrix; pred[,] <- 0
  level1 <- c("lpo", "iqv", "ses", "sex")
  for (v in c("lpo", "iqv", "sex")) {
    pred[v, setdiff(level1, v)] <- if (method[[v]] %in% c("2l.pan", "2l.norm")) 3 else 1
    pred[v, "ssi"] <- 1; pred[v, "sch"] <- -2
  }
  pred["ssi", level1] <- 1; pred["ssi", "sch"] <- -2
  meth <- ini$method; meth[names(method)] <- unlist(method)
  list(pred = pred, meth = meth)
}
run <- function(method, m, maxit, seed) {
  s <- design(method)
  imp <- mice(d, method = s$meth, predictorMatrix = s$pred, m = m, maxit = maxit, seed = seed, printFlag = FALSE)
  pooled(fitted_to(complete(imp, "all"), lpo ~ iqv + ses + sex + ssi + (1 | sch)))
}
save <- function() write_json(out, "expected.json", digits = 10, auto_unbox = TRUE, pretty = TRUE)
writeLines(capture.output(sessionInfo()), "session.txt")
out$schools_complete <- {
  f <- lmer(lpo ~ iqv + ses + sex + ssi + (1 | sch), d); list(terms = names(fixef(f)), estimate = fixef(f))
}
out$schools_pan <- run(list(lpo = "2l.pan", iqv = "2l.pan", sex = "2l.pan", ssi = "2lonly.norm"), 40, 5, 1)
save()

# --- an interaction, by smcfcs: y ~ x * z, simulated, no groups
suppressMessages(library(smcfcs))
set.seed(3)
n <- 600; z <- rnorm(n); x <- 0.5 * z + rnorm(n); y <- 1 + 0.5 * x + 0.4 * z + 0.5 * x * z + rnorm(n)
s <- data.frame(y = y, x = ifelse(runif(n) < plogis(-0.8 + 0.5 * y), NA, x), z = z)
write.csv(s, "interaction.csv", row.names = FALSE, na = "")
log <- capture.output(smc <- smcfcs(s, smtype = "lm", smformula = "y ~ x + z + x:z", method = c("", "norm", ""),
                                    m = 60, numit = 10))
ordinary <- lapply(smc$impDatasets, function(d) lm(y ~ x * z, d))
Q <- sapply(ordinary, coef); U <- sapply(ordinary, function(f) diag(vcov(f))); B <- apply(Q, 1, var)
out$interaction_smcfcs <- list(m = ncol(Q), terms = rownames(Q), estimate = rowMeans(Q), within = rowMeans(U),
                               between = B, std_error = sqrt(rowMeans(U) + (1 + 1 / ncol(Q)) * B))
save()
out$schools_lmer <- run(list(lpo = "2l.lmer", iqv = "2l.lmer", sex = "2l.bin", ssi = "2lonly.pmm"), 20, 3, 3)
save()
